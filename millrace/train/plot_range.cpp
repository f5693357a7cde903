#include "millrace/train/plot_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace millrace {

std::vector<double> axis_ticks(double low, double high, int wanted) {
  double raw = (high - low) / std::max(wanted, 1);
  if (!(raw > 0) || !std::isfinite(raw)) return {low};
  double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= raw * 0.999) step = factor * power;
  }
  std::vector<double> ticks;
  double first = std::ceil(low / step - 1e-9);
  for (double i = first; i * step <= high + step * 1e-9 && ticks.size() < 1000; ++i) {
    ticks.push_back(i == 0 ? 0 : i * step);
  }
  return ticks;
}

std::vector<double> centred_mean(const std::vector<double>& y, int window) {
  const size_t count = y.size();
  std::vector<double> sums = {0};
  for (double value : y) sums.push_back(sums.back() + value);
  std::vector<double> result;
  for (size_t i = 0; i < count; ++i) {
    size_t reach = std::min({i, count - 1 - i, static_cast<size_t>(std::max(window, 1)) / 2});
    result.push_back((sums[i + reach + 1] - sums[i - reach]) / static_cast<double>(2 * reach + 1));
  }
  return result;
}

std::vector<double> smoothed(const std::vector<double>& y) {
  return centred_mean(y, std::max(5, static_cast<int>(y.size() / 40)));
}

Curve finite_points(const Curve& curve) {
  Curve result{curve.name, {}, {}, curve.noisy};
  for (size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
    if (!std::isfinite(curve.x[i]) || !std::isfinite(curve.y[i])) continue;
    result.x.push_back(curve.x[i]);
    result.y.push_back(curve.y[i]);
  }
  return result;
}

PlotRange plot_range(const Plot& plot) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  PlotRange range{kInfinity, -kInfinity, kInfinity, -kInfinity};
  for (const Curve& curve : plot.curves) {
    Curve points = finite_points(curve);
    for (double x : points.x) {
      range.x_low = std::min(range.x_low, x);
      range.x_high = std::max(range.x_high, x);
    }
    for (double y : points.y) {
      range.y_low = std::min(range.y_low, y);
      range.y_high = std::max(range.y_high, y);
    }
  }
  if (range.x_low > range.x_high) return {};
  if (range.x_low == range.x_high) range.x_high = range.x_low + 1;
  double margin = 0.05 * (range.y_high - range.y_low);
  if (margin == 0) margin = 0.5 * std::max(std::abs(range.y_high), 1e-3);
  range.y_low -= margin;
  range.y_high += margin;
  return range;
}

std::string tick_text(double value) {
  double size = std::abs(value);
  if (size >= 1e9 || (size > 0 && size < 1e-4)) return fmt::format("{:.3g}", value);
  if (size >= 1e6) return fmt::format("{:.6g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.6g}k", value / 1e3);
  return fmt::format("{:.6g}", value);
}

}  // namespace millrace
