// Curves as SVG. Greys and hues of middle lightness, so that one file suits light and dark pages.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "millrace/train/plot.h"
#include "millrace/train/plot_range.h"

namespace millrace {
namespace {

constexpr std::array<std::string_view, 4> kColours = {"#3b82f6", "#f97316", "#10b981", "#a855f7"};
constexpr double kLeft = 64, kRight = 24, kTop = 44, kBottom = 52;
constexpr size_t kMostPoints = 1000;
constexpr size_t kMostMarked = 40;

/// Where a point of the plane lies in the picture.
struct Frame {
  PlotRange range;
  double width, height;

  double x(double value) const {
    double part = (value - range.x_low) / (range.x_high - range.x_low);
    return kLeft + part * (width - kLeft - kRight);
  }
  double y(double value) const {
    double part = (value - range.y_low) / (range.y_high - range.y_low);
    return height - kBottom - part * (height - kTop - kBottom);
  }
};

/// Every n-th point where there are more than a picture can show, and always the last.
std::vector<size_t> shown_points(size_t count) {
  size_t stride = (count + kMostPoints - 1) / kMostPoints;
  std::vector<size_t> shown;
  for (size_t i = 0; i < count; i += stride) shown.push_back(i);
  if (!shown.empty() && shown.back() != count - 1) shown.push_back(count - 1);
  return shown;
}

std::string polyline(const Frame& frame, const std::vector<double>& x, const std::vector<double>& y,
                     std::string_view colour, std::string_view style) {
  std::string points;
  for (size_t i : shown_points(x.size())) {
    points += fmt::format("{:.1f},{:.1f} ", frame.x(x[i]), frame.y(y[i]));
  }
  return fmt::format("<polyline points=\"{}\" stroke=\"{}\" {}/>\n", points, colour, style);
}

std::string axes(const Frame& frame, const Plot& plot) {
  std::string out = "<g stroke=\"#888\" stroke-opacity=\"0.3\">\n";
  std::string labels = "<g fill=\"#888\" font-size=\"12\">\n";
  const double bottom = frame.height - kBottom, right = frame.width - kRight;
  for (double tick :
       axis_ticks(frame.range.y_low, frame.range.y_high, static_cast<int>(frame.height / 50))) {
    double y = frame.y(tick);
    out += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", kLeft, y, right);
    labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                          kLeft - 8, y + 4, tick_text(tick));
  }
  for (double tick : axis_ticks(frame.range.x_low, frame.range.x_high, 8)) {
    double x = frame.x(tick);
    out += fmt::format("<path stroke-opacity=\"1\" d=\"M{:.1f} {:.1f}v5\"/>\n", x, bottom);
    labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                          bottom + 19, tick_text(tick));
  }
  out += fmt::format("<path stroke-opacity=\"1\" fill=\"none\" d=\"M{} {}V{}H{}\"/>\n</g>\n", kLeft,
                     kTop, bottom, right);
  labels += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                        (kLeft + right) / 2, frame.height - 12, escape_markup(plot.x_label));
  labels += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
      (kTop + bottom) / 2, escape_markup(plot.y_label));
  return out + labels + "</g>\n";
}

std::string curve_lines(const Frame& frame, const Curve& curve, std::string_view colour) {
  Curve points = finite_points(curve);
  if (points.x.empty()) return "";
  if (points.noisy) {
    return polyline(frame, points.x, points.y, colour, "stroke-width=\"1\" opacity=\"0.35\"") +
           polyline(frame, points.x, smoothed(points.y), colour, "stroke-width=\"2\"");
  }
  std::string out = polyline(frame, points.x, points.y, colour, "stroke-width=\"2\"");
  if (points.x.size() > kMostMarked) return out;
  for (size_t i = 0; i < points.x.size(); ++i) {
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n",
                       frame.x(points.x[i]), frame.y(points.y[i]), colour);
  }
  return out;
}

/// Names with the last values, on the title's line.
std::string legend(const Frame& frame, const Plot& plot) {
  std::string out = fmt::format(
      "<text x=\"{:.1f}\" y=\"26\" font-size=\"13\" font-weight=\"600\" text-anchor=\"end\">",
      frame.width - kRight);
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    Curve points = finite_points(plot.curves[i]);
    std::string last = points.y.empty() ? "" : fmt::format(" {:.4g}", points.y.back());
    out += fmt::format("<tspan dx=\"16\" fill=\"{}\">{}{}</tspan>", kColours[i % kColours.size()],
                       escape_markup(plot.curves[i].name), last);
  }
  return out + "</text>\n";
}

}  // namespace

std::string escape_markup(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default: {
        bool control = static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t';
        out += control || c == '\x7f' ? ' ' : c;
      }
    }
  }
  return out;
}

std::string plot_svg(const Plot& plot, int width, int height) {
  Frame frame{plot_range(plot), static_cast<double>(width), static_cast<double>(height)};
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"system-ui, sans-serif\" role=\"img\">\n<title>{2}</title>\n",
      width, height, escape_markup(plot.title));
  out += fmt::format(
      "<text x=\"{}\" y=\"26\" font-size=\"16\" font-weight=\"600\" fill=\"#888\">{}</text>\n",
      kLeft, escape_markup(plot.title));
  out += axes(frame, plot);
  out += "<g fill=\"none\" stroke-linejoin=\"round\" stroke-linecap=\"round\">\n";
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    out += curve_lines(frame, plot.curves[i], kColours[i % kColours.size()]);
  }
  return out + "</g>\n" + legend(frame, plot) + "</svg>\n";
}

}  // namespace millrace
