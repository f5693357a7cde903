// Curves in characters. A braille cell is 2 by 4 dots, so lines are finer than the text grid.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "millrace/train/plot.h"
#include "millrace/train/plot_range.h"

namespace millrace {
namespace {

constexpr int kLabelColumns = 9;
constexpr std::string_view kMarks = "ox+#";

/// Dots that are set, and marks that cover whole cells.
class Canvas {
 public:
  Canvas(int columns, int rows, bool utf8)
      : columns_(columns),
        rows_(rows),
        utf8_(utf8),
        dots_(static_cast<size_t>(columns * rows)),
        marks_(dots_.size(), 0) {}

  int dots_wide() const { return columns_ * (utf8_ ? 2 : 1); }
  int dots_high() const { return rows_ * (utf8_ ? 4 : 1); }

  void dot(int x, int y) {
    if (x < 0 || y < 0 || x >= dots_wide() || y >= dots_high()) return;
    if (!utf8_) {
      dots_[index(x, y)] = 1;
      return;
    }
    // Bits of U+2800: three rows of two, then the fourth row.
    constexpr uint8_t kBits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    dots_[index(x / 2, y / 4)] |= kBits[y % 4][x % 2];
  }

  void line(int x0, int y0, int x1, int y1) {
    int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= steps; ++i) {
      dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
    }
  }

  void mark(int x, int y, char sign) {
    size_t at = utf8_ ? index(x / 2, y / 4) : index(x, y);
    if (at < marks_.size()) marks_[at] = sign;
  }

  std::string row(int y) const {
    std::string out;
    for (int x = 0; x < columns_; ++x) {
      size_t at = index(x, y);
      if (marks_[at] != 0) {
        out += marks_[at];
      } else if (utf8_ && dots_[at] != 0) {
        out += {static_cast<char>(0xe2), static_cast<char>(0xa0 | dots_[at] >> 6),
                static_cast<char>(0x80 | (dots_[at] & 0x3f))};
      } else {
        out += dots_[at] != 0 ? '.' : ' ';
      }
    }
    return out.substr(0, out.find_last_not_of(' ') + 1);
  }

 private:
  size_t index(int x, int y) const { return static_cast<size_t>(y * columns_ + x); }

  int columns_, rows_;
  bool utf8_;
  std::vector<uint8_t> dots_;
  std::vector<char> marks_;
};

void draw(Canvas& canvas, const PlotRange& range, const Curve& curve, char sign) {
  Curve points = finite_points(curve);
  if (points.noisy) points.y = smoothed(points.y);
  auto place = [](double value, double low, double high, int size) {
    return static_cast<int>(std::lround((value - low) / (high - low) * (size - 1)));
  };
  int last_x = 0, last_y = 0;
  for (size_t i = 0; i < points.x.size(); ++i) {
    int x = place(points.x[i], range.x_low, range.x_high, canvas.dots_wide());
    int y =
        canvas.dots_high() - 1 - place(points.y[i], range.y_low, range.y_high, canvas.dots_high());
    if (sign != 0) {
      canvas.mark(x, y, sign);
    } else if (i == 0) {
      canvas.dot(x, y);
    } else {
      canvas.line(last_x, last_y, x, y);
    }
    last_x = x;
    last_y = y;
  }
}

/// The horizontal axis' numbers, each centred below its place where it does not touch another.
std::string tick_row(const PlotRange& range, int columns) {
  std::string row(static_cast<size_t>(kLabelColumns + 1 + columns), ' ');
  size_t free_from = 0;
  for (double tick : axis_ticks(range.x_low, range.x_high, std::max(columns / 14, 1))) {
    double part = (tick - range.x_low) / (range.x_high - range.x_low);
    std::string text = tick_text(tick);
    auto at =
        kLabelColumns + 1 + std::lround(part * (columns - 1)) - static_cast<long>(text.size()) / 2;
    auto begin = std::min(static_cast<size_t>(std::max(at, 0l)), row.size() - text.size());
    if (begin < free_from) continue;
    row.replace(begin, text.size(), text);
    free_from = begin + text.size() + 1;
  }
  return row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
}

}  // namespace

std::string plot_text(const Plot& plot, int columns, int rows, bool utf8) {
  columns = std::clamp(columns - kLabelColumns - 2, 10, 400);
  rows = std::clamp(rows - 3, 4, 200);
  const PlotRange range = plot_range(plot);
  Canvas canvas(columns, rows, utf8);
  std::string legend = plot.title;
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    char sign = i == 0 ? '\0' : kMarks[(i - 1) % kMarks.size()];
    draw(canvas, range, plot.curves[i], sign);
    std::string_view shown = sign != 0 ? std::string_view(&kMarks[(i - 1) % kMarks.size()], 1)
                             : utf8    ? "⠒"
                                       : ".";
    Curve points = finite_points(plot.curves[i]);
    legend += fmt::format("   {} {}", shown, plot.curves[i].name);
    if (!points.y.empty()) legend += fmt::format(" {:.4g}", points.y.back());
  }
  std::string out = legend + "\n";
  const std::vector<double> ticks = axis_ticks(range.y_low, range.y_high, std::max(rows / 2, 2));
  for (int y = 0; y < rows; ++y) {
    double high = range.y_high - (range.y_high - range.y_low) * y / rows;
    double low = range.y_high - (range.y_high - range.y_low) * (y + 1) / rows;
    std::string label;
    for (double tick : ticks) {
      if (low < tick && tick <= high) label = tick_text(tick);
    }
    out += fmt::format("{:>{}} {}{}\n", label, kLabelColumns - 1, utf8 ? "│" : "|", canvas.row(y));
  }
  std::string rule;
  for (int x = 0; x < columns; ++x) rule += utf8 ? "─" : "-";
  out += fmt::format("{:>{}}{}{}\n", "", kLabelColumns, utf8 ? "└" : "+", rule);
  return out + tick_row(range, columns);
}

}  // namespace millrace
