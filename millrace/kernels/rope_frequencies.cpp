// Inverse frequencies for every kind of rope scaling, in the steps and precisions of transformers'
// modeling_rope_utils, so that logits agree.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

/// theta^(2i / dim), each step rounded to f32.
std::vector<float> wavelengths(double theta, int64_t dim) {
  std::vector<float> result;
  for (int64_t i = 0; i < dim; i += 2) {
    float exponent = static_cast<float>(i) / static_cast<float>(dim);
    result.push_back(static_cast<float>(std::pow(static_cast<float>(theta), double{exponent})));
  }
  return result;
}

std::vector<float> default_frequencies(double theta, int64_t dim) {
  std::vector<float> result = wavelengths(theta, dim);
  for (float& x : result) x = 1.0f / x;
  return result;
}

/// NTK-aware scaling with a base that grows with the length (bloc97, emozilla 2023).
std::vector<float> dynamic_frequencies(const RopeParameters& p, int64_t sequence_length) {
  require(p.max_position_embeddings > 0 && p.rotary_dim > 2,
          "rope_type 'dynamic' needs max_position_embeddings and a rotary dimension above 2");
  auto longest = static_cast<double>(p.max_position_embeddings);
  double length = std::max(static_cast<double>(sequence_length), longest);
  auto dim = static_cast<double>(p.rotary_dim);
  double stretch = p.factor * length / longest - (p.factor - 1);
  return default_frequencies(p.theta * std::pow(stretch, dim / (dim - 2)), p.rotary_dim);
}

/// YaRN (Peng et al. 2023): high frequencies stay, low ones are interpolated, with a ramp between.
RopeFrequencies yarn_frequencies(const RopeParameters& p) {
  require(p.original_max_position_embeddings > 0,
          "rope_type 'yarn' needs original_max_position_embeddings");
  require(p.theta > 1, "rope_type 'yarn' needs a rope_theta above 1");
  auto dim = static_cast<double>(p.rotary_dim);
  auto original = static_cast<double>(p.original_max_position_embeddings);
  auto dimension_turning = [&](double rotations) {
    return dim * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(p.theta));
  };
  double low = dimension_turning(p.beta_fast), high = dimension_turning(p.beta_slow);
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;  // no division by zero

  RopeFrequencies result;
  std::vector<float> lengths = wavelengths(p.theta, p.rotary_dim);
  for (size_t i = 0; i < lengths.size(); ++i) {
    float ramp = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    float extrapolated = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    float interpolation = 1.0f / (static_cast<float>(p.factor) * lengths[i]);
    result.inverse.push_back(interpolation * (1.0f - extrapolated) +
                             1.0f / lengths[i] * extrapolated);
  }
  auto magnitude = [&](double mscale) {
    return p.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(p.factor) + 1.0;
  };
  double attention = p.mscale != 0 && p.mscale_all_dim != 0
                         ? magnitude(p.mscale) / magnitude(p.mscale_all_dim)
                         : magnitude(1);
  result.attention_factor = static_cast<float>(p.attention_factor.value_or(attention));
  return result;
}

/// LongRoPE (Ding et al. 2024): a searched factor for each frequency.
RopeFrequencies longrope_frequencies(const RopeParameters& p, int64_t sequence_length) {
  require(p.original_max_position_embeddings > 1,
          "rope_type 'longrope' needs original_max_position_embeddings");
  bool is_long = sequence_length > p.original_max_position_embeddings;
  const std::vector<float>& factors = is_long ? p.long_factor : p.short_factor;
  require(factors.size() == static_cast<size_t>(p.rotary_dim / 2),
          "rope {}_factor has {} values, not half the rotary dimension, {}",
          is_long ? "long" : "short", factors.size(), p.rotary_dim / 2);
  RopeFrequencies result;
  result.inverse = wavelengths(p.theta, p.rotary_dim);
  for (size_t i = 0; i < factors.size(); ++i) {
    result.inverse[i] = 1.0f / (factors[i] * result.inverse[i]);
  }
  double original = static_cast<double>(p.original_max_position_embeddings);
  double attention = p.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(p.factor) / std::log(original));
  result.attention_factor = static_cast<float>(p.attention_factor.value_or(attention));
  return result;
}

/// Llama 3.1: long wavelengths are slowed by `factor`, short ones stay, with a smooth passage.
std::vector<float> llama3_frequencies(const RopeParameters& p) {
  require(p.original_max_position_embeddings > 0,
          "rope_type 'llama3' needs original_max_position_embeddings");
  require(p.high_freq_factor > p.low_freq_factor && p.low_freq_factor > 0,
          "rope high_freq_factor must be above low_freq_factor, and both above 0");
  auto original = static_cast<double>(p.original_max_position_embeddings);
  auto longest = static_cast<float>(original / p.low_freq_factor);
  auto shortest = static_cast<float>(original / p.high_freq_factor);
  auto factor = static_cast<float>(p.factor);
  std::vector<float> result = default_frequencies(p.theta, p.rotary_dim);
  for (float& frequency : result) {
    float length = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (length < shortest) continue;
    if (length > longest) {
      frequency /= factor;
      continue;
    }
    float smooth = (static_cast<float>(original) / length - static_cast<float>(p.low_freq_factor)) /
                   static_cast<float>(p.high_freq_factor - p.low_freq_factor);
    frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
  }
  return result;
}

/// Gemma 4's: the highest frequencies as they are, the lowest 0.
std::vector<float> proportional_frequencies(const RopeParameters& p) {
  require(p.proportion >= 0 && p.proportion <= 1,
          "rope_type 'proportional' needs a partial_rotary_factor between 0 and 1, not {}",
          p.proportion);
  std::vector<float> result = default_frequencies(p.theta, p.rotary_dim);
  const double turned = std::floor(p.proportion * static_cast<double>(p.rotary_dim) / 2);
  std::fill(result.begin() + static_cast<int64_t>(turned), result.end(), 0.0f);
  for (float& x : result) x /= static_cast<float>(p.factor);
  return result;
}

float rounded_to_f16(float x) {
  float rounded;
  std::byte bytes[2];
  quantize(DType::f16, &x, bytes, 1);
  dequantize(DType::f16, bytes, &rounded, 1);
  return rounded;
}

}  // namespace

std::optional<RopeScaling> rope_scaling_from_name(std::string_view name) {
  if (name == "default" || name == "none") return RopeScaling::none;
  if (name == "linear") return RopeScaling::linear;
  if (name == "dynamic") return RopeScaling::dynamic;
  if (name == "yarn") return RopeScaling::yarn;
  if (name == "longrope" || name == "su") return RopeScaling::longrope;
  if (name == "llama3") return RopeScaling::llama3;
  if (name == "proportional") return RopeScaling::proportional;
  return std::nullopt;
}

namespace {

RopeFrequencies scaled_frequencies(const RopeParameters& p, int64_t sequence_length) {
  switch (p.scaling) {
    case RopeScaling::none:
      return {default_frequencies(p.theta, p.rotary_dim), 1};
    case RopeScaling::linear: {
      RopeFrequencies result{default_frequencies(p.theta, p.rotary_dim), 1};
      for (float& x : result.inverse) x /= static_cast<float>(p.factor);
      return result;
    }
    case RopeScaling::dynamic:
      return {dynamic_frequencies(p, sequence_length), 1};
    case RopeScaling::yarn:
      return yarn_frequencies(p);
    case RopeScaling::longrope:
      return longrope_frequencies(p, sequence_length);
    case RopeScaling::llama3:
      return {llama3_frequencies(p), 1};
    case RopeScaling::proportional:
      return {proportional_frequencies(p), 1};
  }
  fail("rope scaling kind {} does not exist", static_cast<int>(p.scaling));
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeParameters& p, int64_t sequence_length) {
  require(p.rotary_dim > 0 && p.rotary_dim % 2 == 0,
          "the rotary dimension must be even and above 0, not {}", p.rotary_dim);
  require(std::isfinite(p.theta) && p.theta > 0, "rope_theta must be above 0, not {}", p.theta);
  require(std::isfinite(p.factor) && p.factor > 0, "rope factor must be above 0, not {}", p.factor);
  RopeFrequencies result = scaled_frequencies(p, sequence_length);
  if (p.f16_frequencies) {
    for (float& x : result.inverse) x = rounded_to_f16(x);
  }
  return result;
}

int64_t rope_length(const RopeParameters& p, int64_t tokens) {
  if (p.scaling == RopeScaling::longrope) {
    const int64_t original = p.original_max_position_embeddings;
    return tokens > original ? original + 1 : 0;
  }
  if (p.scaling != RopeScaling::dynamic || tokens <= p.max_position_embeddings) return 0;
  int64_t length = std::max<int64_t>(p.max_position_embeddings, 1);
  while (length < tokens) length *= 2;
  return length;
}

RopeTable rope_table(const RopeFrequencies& frequencies, int64_t positions) {
  RopeTable table;
  table.half = static_cast<int64_t>(frequencies.inverse.size());
  table.cos.resize(static_cast<size_t>(positions * table.half));
  table.sin.resize(table.cos.size());
  parallel_ranges(positions, 64, [&](int64_t begin, int64_t end) {
    auto at = static_cast<size_t>(begin * table.half);
    for (int64_t p = begin; p < end; ++p) {
      for (float frequency : frequencies.inverse) {
        const double angle = static_cast<float>(p) * frequency;
        table.cos[at] = static_cast<float>(std::cos(angle)) * frequencies.attention_factor;
        table.sin[at] = static_cast<float>(std::sin(angle)) * frequencies.attention_factor;
        ++at;
      }
    }
  });
  return table;
}

}  // namespace millrace
