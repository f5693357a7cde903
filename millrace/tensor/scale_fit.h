// The searches that choose the scale (and min) of a group of values before they are quantised.
#pragma once

#include <span>

#include "millrace/tensor/block_format.h"

namespace millrace {

/// The levels nearest to (value - min) · inverse_scale, into `levels`.
void nearest_levels(const BlockFormat& format, std::span<const float> values, float inverse_scale,
                    float min, float* levels);

/// The code of a level.
uint8_t code_of(const BlockFormat& format, float level);

/// The scale s for which Σ weight · (value - s · nearest level(value / s))² is about smallest:
/// tries scales around the one that maps the extreme value to the last level, and improves each by
/// least squares. 0 for values that are all (nearly) 0.
float fit_scale(const BlockFormat& format, std::span<const float> values,
                std::span<const float> weights);

struct ScaleAndMin {
  float scale = 0;
  float min = 0;
};

/// The same for value ≈ scale · code + min. With integer scales (K-quants) min is at most 0.
ScaleAndMin fit_scale_and_min(const BlockFormat& format, std::span<const float> values,
                              std::span<const float> weights);

}  // namespace millrace
