#include "millrace/tensor/scale_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

namespace millrace {
namespace {

constexpr float kTiny = 1e-20f;  // below it no scale survives in f16

constexpr int kLanes = 8;

/// Weighted sums over a group, from which least squares follow.
struct Sums {
  float w = 0, x = 0, xx = 0, l = 0, ll = 0, xl = 0;  // of weights times values x and levels l
};

/// Σ a · b · c in an order of eight lanes, which compilers can keep in vectors.
float sum_of_products(const float* a, const float* b, const float* c, size_t count) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < count; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += a[i + j] * b[i + j] * c[i + j];
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
         ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

constexpr auto kOnes = [] {
  std::array<float, kMaxGroup> ones{};
  for (float& one : ones) one = 1;
  return ones;
}();

/// A table's level nearest to x at place floor(2 x) + 256: the midpoints between levels, from which
/// on the upper one is nearer, are whole or half numbers.
constexpr std::array<int8_t, 512> nearest_of(Levels levels) {
  std::sort(levels.begin(), levels.end());
  std::array<int8_t, 512> nearest{};
  size_t place = 0;
  for (int twice = -256; twice < 256; ++twice) {
    while (place < 15 && twice >= levels[place] + levels[place + 1]) ++place;
    nearest[static_cast<size_t>(twice + 256)] = levels[place];
  }
  return nearest;
}
constexpr std::array<int8_t, 512> kNearestIq4 = nearest_of(kIq4Levels);
constexpr std::array<int8_t, 512> kNearestFp4 = nearest_of(kFp4Levels);

/// The least-squares line through (level, value), its min at most 0 when `min_below_zero`, and the
/// squared error that it leaves.
float fit_line(const Sums& s, bool min_below_zero, ScaleAndMin& line) {
  float determinant = s.w * s.ll - s.l * s.l;
  if (determinant <= 1e-5f * s.w * s.ll) return INFINITY;  // one level alone fixes no line
  line.scale = (s.w * s.xl - s.x * s.l) / determinant;
  line.min = (s.ll * s.x - s.l * s.xl) / determinant;
  if (min_below_zero && line.min > 0) line = {s.xl / s.ll, 0};
  if (line.scale <= 0) return INFINITY;
  return s.xx + line.scale * line.scale * s.ll + line.min * line.min * s.w -
         2 * (line.scale * s.xl + line.min * s.x - line.scale * line.min * s.l);
}

/// q8_0 leaves -128 out, as everyone's does: its magnitudes fit into 7 bits.
int lowest_level(const BlockFormat& format) {
  if (format.levels) return *std::min_element(format.levels->begin(), format.levels->end());
  return level(format, format.signed_codes ? 1 : 0);
}

}  // namespace

void nearest_levels(const BlockFormat& format, std::span<const float> values, float inverse_scale,
                    float min, float* levels) {
  size_t count = values.size();
  if (format.levels) {
    const auto& nearest = format.levels == &kFp4Levels ? kNearestFp4 : kNearestIq4;
    for (size_t i = 0; i < count; ++i) {
      float x = std::clamp((values[i] - min) * inverse_scale, -128.0f, 127.5f);
      levels[i] = nearest[static_cast<size_t>((x + 128) * 2)];
    }
    return;
  }
  auto lowest = static_cast<float>(lowest_level(format));
  auto highest = static_cast<float>(level(format, format.max_code()));
  constexpr float kShift = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  for (size_t i = 0; i < count; ++i) {
    float x = (values[i] - min) * inverse_scale;
    x = x > lowest ? x : lowest;
    x = x < highest ? x : highest;
    levels[i] = x + kShift - kShift;
  }
}

uint8_t code_of(const BlockFormat& format, float level) {
  if (!format.levels) return static_cast<uint8_t>(static_cast<int>(level) + format.zero);
  auto found = std::find(format.levels->begin(), format.levels->end(), static_cast<int8_t>(level));
  return static_cast<uint8_t>(found - format.levels->begin());
}

float fit_scale(const BlockFormat& format, std::span<const float> values,
                std::span<const float> weights) {
  float extreme = 0;
  for (float x : values) extreme = std::abs(x) > std::abs(extreme) ? x : extreme;
  if (std::abs(extreme) < kTiny) return 0;
  constexpr int kTries = 9;  // in both directions
  auto last_level = static_cast<float>(lowest_level(format));
  float step = 0.1f / static_cast<float>(1 << (format.code_bits() - 1));
  float best_scale = 0, best = 0;
  for (int i = -kTries; i <= kTries; ++i) {
    float inverse = last_level / extreme * (1 + step * static_cast<float>(i));
    float levels[kMaxGroup];
    nearest_levels(format, values, inverse, 0, levels);
    float xl = sum_of_products(weights.data(), values.data(), levels, values.size());
    float ll = sum_of_products(weights.data(), levels, levels, values.size());
    // The best scale for these levels, xl / ll, takes xl² / ll off the squared error.
    if (ll > 0 && xl * xl > best * ll) {
      best = xl * xl / ll;
      best_scale = xl / ll;
    }
  }
  return best_scale;
}

ScaleAndMin fit_scale_and_min(const BlockFormat& format, std::span<const float> values,
                              std::span<const float> weights) {
  auto [low, high] = std::minmax_element(values.begin(), values.end());
  bool min_below_zero = format.has_scales;
  float min = min_below_zero ? std::min(*low, 0.0f) : *low;
  if (*high - min < kTiny) return {0, min};
  constexpr int kTries = 10;
  auto max_code = static_cast<float>(format.max_code());
  size_t count = values.size();
  const float* x = values.data();
  const float* w = weights.data();
  Sums sums;
  sums.w = sum_of_products(w, kOnes.data(), kOnes.data(), count);
  sums.x = sum_of_products(w, x, kOnes.data(), count);
  sums.xx = sum_of_products(w, x, x, count);
  ScaleAndMin best{(*high - min) / max_code, min};
  float best_error = INFINITY;
  for (int i = -kTries; i <= kTries; ++i) {
    float inverse = (max_code + 0.1f * static_cast<float>(i)) / (*high - min);
    float levels[kMaxGroup];
    nearest_levels(format, values, inverse, min, levels);
    sums.l = sum_of_products(w, levels, kOnes.data(), count);
    sums.ll = sum_of_products(w, levels, levels, count);
    sums.xl = sum_of_products(w, x, levels, count);
    ScaleAndMin line;
    float error = fit_line(sums, min_below_zero, line);
    if (error < best_error) {
      best_error = error;
      best = line;
    }
  }
  return best;
}

}  // namespace millrace
