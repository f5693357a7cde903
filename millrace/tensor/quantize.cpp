#include "millrace/tensor/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "millrace/base/thread_pool.h"
#include "millrace/tensor/block_format.h"
#include "millrace/tensor/scale_fit.h"

namespace millrace {
namespace {

constexpr int64_t kGrain = 1 << 14;  // values handled by one task; a multiple of every block

/// One block on its way: the values, what their errors weigh, the block that is chosen.
struct Fitting {
  const BlockFormat& format;
  const float* values;
  float weights[kMaxBlock];
  Block block;

  std::span<const float> group_values(int g) const {
    return {values + g * format.group_size(), static_cast<size_t>(format.group_size())};
  }
  std::span<const float> group_weights(int g) const {
    return {weights + g * format.group_size(), static_cast<size_t>(format.group_size())};
  }
};

void set_weights(Fitting& fitting, const float* importance) {
  int count = fitting.format.values;
  float squares = 0;
  for (int i = 0; i < count; ++i) squares += fitting.values[i] * fitting.values[i];
  float mean = squares / static_cast<float>(count);
  for (int i = 0; i < count; ++i) {
    float x = fitting.values[i];
    fitting.weights[i] = (importance ? importance[i] : 1.0f) * std::sqrt(mean + x * x);
  }
}

/// The levels of group g for a scale and min, and the error that they leave.
float choose_levels(const Fitting& fitting, int g, float scale, float min, float* levels) {
  std::span<const float> values = fitting.group_values(g);
  std::span<const float> weights = fitting.group_weights(g);
  nearest_levels(fitting.format, values, scale == 0 ? 0 : 1 / scale, min, levels);
  constexpr size_t kLanes = 8;
  float lanes[kLanes] = {};
  for (size_t i = 0; i < values.size(); i += kLanes) {
    for (size_t j = i; j < i + kLanes; ++j) {
      float rest = values[j] - (scale * levels[j] + min);
      lanes[j - i] += weights[j] * rest * rest;
    }
  }
  float error = 0;
  for (float lane : lanes) error += lane;
  return error;
}

/// A factor's bits, as Block has them.
uint16_t factor(float x) {
  Float16 half = to_float16(x);
  require(std::isfinite(to_float(half)), "quantize: the scale {} is too large for f16", x);
  return half.bits;
}

/// The bits of the better of the two powers of two around a scale.
uint16_t power_of_two(const Fitting& fitting, float scale) {
  float levels[kMaxGroup], lower = std::exp2(std::floor(std::log2(std::abs(scale))));
  if (scale == 0) return 0;
  float error = choose_levels(fitting, 0, lower, 0, levels);
  bool upper_is_better = choose_levels(fitting, 0, 2 * lower, 0, levels) < error;
  return to_bfloat16(upper_is_better ? 2 * lower : lower).bits;
}

/// Rounds the scale and min of group g to what the block can hold and chooses the codes. The
/// neighbours of integer scales and mins are tried too, since levels move with them.
void settle_group(Fitting& fitting, int g, ScaleAndMin fit) {
  const BlockFormat& format = fitting.format;
  float d = factor_value(format, fitting.block.d), m = factor_value(format, fitting.block.m);
  auto lowest = static_cast<float>(format.scale_min),
       highest = static_cast<float>(format.scale_max);
  float scale = d == 0 ? 0 : std::nearbyint(fit.scale / d);
  float min = m == 0 ? 0 : std::nearbyint(-fit.min / m);
  int reach = format.has_scales ? 1 : 0;
  int min_reach = format.has_min ? reach : 0;
  float best = INFINITY, best_levels[kMaxGroup] = {};
  int8_t best_scale = 0, best_min = 0;
  for (int i = -reach; i <= reach; ++i) {
    for (int j = -min_reach; j <= min_reach; ++j) {
      float s = std::clamp(scale + static_cast<float>(i), lowest, highest);
      float n = std::clamp(min + static_cast<float>(j), 0.0f, highest);
      if (!format.has_scales) n = -1;
      float levels[kMaxGroup];
      float error = choose_levels(fitting, g, d * s, format.has_min ? -(m * n) : 0.0f, levels);
      if (error >= best) continue;
      best = error;
      best_scale = static_cast<int8_t>(s);
      best_min = static_cast<int8_t>(n);
      std::copy_n(levels, format.group_size(), best_levels);
    }
  }
  fitting.block.scales[static_cast<size_t>(g)] = best_scale;
  fitting.block.mins[static_cast<size_t>(g)] = best_min;
  for (int i = 0; i < format.group_size(); ++i) {
    fitting.block.codes[static_cast<size_t>(g * format.group_size() + i)] =
        code_of(format, best_levels[i]);
  }
}

void fit_block(Fitting& fitting) {
  const BlockFormat& format = fitting.format;
  ScaleAndMin fits[kMaxGroups];
  float largest_scale = 0;  // by magnitude, with its sign
  float lowest_min = 0;
  for (int g = 0; g < format.groups; ++g) {
    std::span<const float> values = fitting.group_values(g), weights = fitting.group_weights(g);
    ScaleAndMin& fit = fits[g];
    fit = format.has_min ? fit_scale_and_min(format, values, weights)
                         : ScaleAndMin{fit_scale(format, values, weights), 0};
    if (std::abs(fit.scale) > std::abs(largest_scale)) largest_scale = fit.scale;
    lowest_min = std::min(lowest_min, fit.min);
  }
  if (format.has_scales) {
    // Where scales have a sign, the largest takes the longer, negative side.
    int end = format.scale_min < 0 ? format.scale_min : format.scale_max;
    fitting.block.d = factor(largest_scale / static_cast<float>(end));
    fitting.block.m = factor(-lowest_min / static_cast<float>(format.scale_max));
  } else if (format.power_of_two) {
    fitting.block.d = power_of_two(fitting, fits[0].scale);
  } else {
    fitting.block.d = factor(fits[0].scale);
    fitting.block.m = factor(fits[0].min);
  }
  for (int g = 0; g < format.groups; ++g) settle_group(fitting, g, fits[g]);
}

/// No block holds numbers beyond kLargest, and squares of smaller ones do not overflow.
void require_moderate(const float* values, int64_t count) {
  constexpr float kLargest = 1e10f;
  for (int64_t i = 0; i < count; ++i) {
    require(std::abs(values[i]) <= kLargest,
            "quantize: value {} is {}; only finite ones up to {} can be quantised", i, values[i],
            kLargest);
  }
}

void require_float_type(DType dtype) {
  bool known =
      is_quantized(dtype) || dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
  require(known, "{} is no type of real numbers that tensors are converted between",
          info(dtype).name);
}

/// f8 and i8.
void dequantize_bytes(DType dtype, const std::byte* from, float* to, int64_t count) {
  require(dtype != DType::u8 && dtype != DType::boolean, "{} holds no real numbers",
          info(dtype).name);
  float values[256];
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<uint8_t>(i);
    values[i] = dtype == DType::i8 ? static_cast<float>(static_cast<int8_t>(bits))
                                   : float8_to_float(dtype, bits);
  }
  for (int64_t i = 0; i < count; ++i) to[i] = values[std::to_integer<uint8_t>(from[i])];
}

void require_whole_blocks(DType dtype, int64_t count) {
  require(count % info(dtype).block_size == 0, "{} values do not fill {} blocks of {}", count,
          info(dtype).name, info(dtype).block_size);
}

}  // namespace

void dequantize(DType dtype, const std::byte* from, float* to, int64_t count) {
  if (info(dtype).block_bytes == 1) return dequantize_bytes(dtype, from, to, count);
  require_float_type(dtype);
  require_whole_blocks(dtype, count);
  if (dtype == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  } else if (dtype == DType::f16) {
    auto halves = reinterpret_cast<const Float16*>(from);
    std::transform(halves, halves + count, to, [](Float16 x) { return to_float(x); });
  } else if (dtype == DType::bf16) {
    auto halves = reinterpret_cast<const BFloat16*>(from);
    std::transform(halves, halves + count, to, [](BFloat16 x) { return to_float(x); });
  } else {
    const BlockFormat& format = block_format(dtype);
    Block block;
    for (int64_t i = 0; i < count; i += format.values, from += format.bytes) {
      read_block(format, from, block);
      dequantize_block(format, block, to + i);
    }
  }
}

void quantize(DType dtype, const float* from, std::byte* to, int64_t count,
              const float* importance) {
  require_float_type(dtype);
  require_whole_blocks(dtype, count);
  if (dtype == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  } else if (dtype == DType::f16) {
    std::transform(from, from + count, reinterpret_cast<Float16*>(to), to_float16);
  } else if (dtype == DType::bf16) {
    std::transform(from, from + count, reinterpret_cast<BFloat16*>(to), to_bfloat16);
  } else {
    require_moderate(from, count);
    const BlockFormat& format = block_format(dtype);
    for (int64_t i = 0; i < count; i += format.values, to += format.bytes) {
      Fitting fitting{format, from + i, {}, {}};
      set_weights(fitting, importance ? importance + i : nullptr);
      fit_block(fitting);
      write_block(format, fitting.block, to);
    }
  }
}

Tensor quantized(const Tensor& f32, DType dtype) {
  const Shape& shape = f32.shape();
  int64_t columns = shape.rank() == 0 ? 1 : shape[-1];
  require(columns % info(dtype).block_size == 0,
          "a tensor of shape {} cannot be {}: rows of {} values do not fill blocks of {}", shape,
          info(dtype).name, columns, info(dtype).block_size);
  Tensor result(dtype, shape, false);
  const float* from = f32.f32().data();
  parallel_ranges(f32.count(), kGrain, [&](int64_t begin, int64_t end) {
    quantize(dtype, from + begin, result.data() + dtype_bytes(dtype, static_cast<uint64_t>(begin)),
             end - begin);
  });
  return result;
}

Tensor dequantized(const Tensor& tensor) {
  Tensor result(DType::f32, tensor.shape(), false);
  float* to = result.f32().data();
  DType dtype = tensor.dtype();
  parallel_ranges(tensor.count(), kGrain, [&](int64_t begin, int64_t end) {
    dequantize(dtype, tensor.data() + dtype_bytes(dtype, static_cast<uint64_t>(begin)), to + begin,
               end - begin);
  });
  return result;
}

}  // namespace millrace
