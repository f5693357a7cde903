// The part of the plane that a plot shows, and numbers as its axes write them.
#pragma once

#include <string>
#include <vector>

#include "millrace/train/plot.h"

namespace millrace {

struct PlotRange {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
};

/// The smallest range that holds all finite points, a little wider in y; [0, 1] where there is
/// none, and never empty.
PlotRange plot_range(const Plot& plot);

/// The points of a curve that can be drawn: both coordinates finite.
Curve finite_points(const Curve& curve);

/// "12k", "3.5", "0.002".
std::string tick_text(double value);

}  // namespace millrace
