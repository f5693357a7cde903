// Curves as a picture: SVG for the report, characters for the terminal.
#pragma once

#include <string>
#include <vector>

namespace millrace {

struct Curve {
  std::string name;
  std::vector<double> x;  // ascending
  std::vector<double> y;  // as many; values that are not finite are left out
  bool noisy = false;     // drawn faintly, with its mean over it
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Curve> curves;
};

/// Round numbers (1, 2 or 5 times a power of ten apart), about `wanted` of them, within [low,
/// high].
std::vector<double> axis_ticks(double low, double high, int wanted);

/// The mean of each value and its neighbours, `window` in all where there are as many on both sides
/// and fewer towards the ends, so that the curve neither lags nor bends.
std::vector<double> centred_mean(const std::vector<double>& y, int window);

/// The curve that a noisy one is drawn with: its centred mean over a fortieth of its length.
std::vector<double> smoothed(const std::vector<double>& y);

/// A self-contained SVG without background whose colours can be read on light and dark pages.
std::string plot_svg(const Plot& plot, int width = 840, int height = 460);

/// The same in `columns` by `rows` characters: braille dots for the first curve, marks for the
/// others; with `utf8` false all of it in ASCII.
std::string plot_text(const Plot& plot, int columns, int rows, bool utf8);

/// Text as it may stand in HTML and SVG, in attributes too; control characters become spaces.
std::string escape_markup(const std::string& text);

}  // namespace millrace
