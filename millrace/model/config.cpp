#include "millrace/model/config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// Beyond what any published model has, and small enough that products of two stay in 64 bits.
constexpr int64_t kMaxExtent = int64_t{1} << 24;

void check_extent(int64_t value, std::string_view name, std::string_view source) {
  require(value > 0 && value <= kMaxExtent, "{}: {} is {}; it must be between 1 and {}", source,
          name, value, kMaxExtent);
}

/// Rope's own checks name its fields; here they get the name of the file.
void validate_rope(const RopeParameters& rope, int64_t head_dim, std::string_view source) {
  if (rope.rotary_dim == 0) return;
  require(rope.rotary_dim > 0 && rope.rotary_dim <= head_dim,
          "{}: rope turns {} dimensions (rope.dimension_count), heads have {}", source,
          rope.rotary_dim, head_dim);
  constexpr double kMost = 1e30;  // and no overflow where rope computes in f32
  for (const auto& [name, value] :
       {std::pair("rope_theta", rope.theta), std::pair("rope factor", rope.factor),
        std::pair("rope beta_fast", rope.beta_fast), std::pair("rope beta_slow", rope.beta_slow),
        std::pair("rope mscale", rope.mscale),
        std::pair("rope mscale_all_dim", rope.mscale_all_dim),
        std::pair("rope low_freq_factor", rope.low_freq_factor),
        std::pair("rope high_freq_factor", rope.high_freq_factor),
        std::pair("rope attention_factor", rope.attention_factor.value_or(1))}) {
    require(std::abs(value) <= kMost, "{}: {} is {}, which makes no sense", source, name, value);
  }
  try {
    const RopeFrequencies result = rope_frequencies(rope);
    const bool finite =
        std::isfinite(result.attention_factor) &&
        std::all_of(result.inverse.begin(), result.inverse.end(),
                    [](float frequency) { return std::isfinite(frequency) && frequency >= 0; });
    require(finite, "rope_scaling and rope_theta give frequencies that are no numbers");
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
}

}  // namespace

AttentionShape ModelConfig::attention_shape() const {
  AttentionShape shape;
  shape.num_heads = num_heads;
  shape.num_kv_heads = num_kv_heads;
  shape.head_dim = head_dim;
  shape.scale =
      attention_scale != 0 ? attention_scale : 1.0f / std::sqrt(static_cast<float>(head_dim));
  shape.softcap = attention_softcap;
  shape.alibi_max_bias = alibi_max_bias;
  return shape;
}

bool ModelConfig::is_windowed(int64_t layer) const {
  return sliding_window > 0 && (windowed.empty() || windowed[static_cast<size_t>(layer)]);
}

AttentionShape ModelConfig::attention_shape(int64_t layer) const {
  AttentionShape shape = attention_shape();
  if (is_windowed(layer)) shape.sliding_window = sliding_window;
  return shape;
}

void validate(const ModelConfig& config, std::string_view source) {
  check_extent(config.vocab_size, "vocab_size", source);
  check_extent(config.hidden_size, "hidden_size", source);
  check_extent(config.num_heads, "num_attention_heads", source);
  check_extent(config.num_kv_heads, "num_key_value_heads", source);
  check_extent(config.head_dim, "head_dim", source);
  check_extent(config.intermediate_size, "intermediate_size", source);
  check_extent(config.max_position_embeddings, "max_position_embeddings", source);
  require(config.num_layers > 0 && config.num_layers <= 4096,
          "{}: num_hidden_layers is {}; it must be between 1 and 4096", source, config.num_layers);
  require(config.num_heads <= 4096 && config.head_dim <= 4096,
          "{}: {} heads of {}; at most 4096 of 4096 are supported", source, config.num_heads,
          config.head_dim);
  require(config.num_heads % config.num_kv_heads == 0,
          "{}: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})", source,
          config.num_heads, config.num_kv_heads);
  require(config.sliding_window >= 0 && config.sliding_window <= (int64_t{1} << 40),
          "{}: sliding_window is {}", source, config.sliding_window);
  require(
      config.windowed.empty() || config.windowed.size() == static_cast<size_t>(config.num_layers),
      "{}: layer_types says of {} layers whether they have a window; there are {}", source,
      config.windowed.size(), config.num_layers);
  for (float factor : {config.attention_scale, config.embedding_scale}) {
    require(std::abs(factor) < 1e30f, "{}: a scale of attention or embeddings is {}", source,
            factor);
  }
  for (float bound : {config.attention_softcap, config.logit_softcap, config.alibi_max_bias}) {
    require(bound == 0 || (bound > 1e-3f && bound < 1e6f),
            "{}: a softcap or ALiBi's greatest bias is {}; it must be above 0", source, bound);
  }
  require(config.norm_eps > 0 && config.norm_eps < 1, "{}: the norm's epsilon is {}", source,
          config.norm_eps);
  require(config.dtype == DType::f32 || config.dtype == DType::bf16 || config.dtype == DType::f16,
          "{}: dtype is {}; it must be float32, bfloat16 or float16", source,
          info(config.dtype).name);
  validate_rope(config.rope, config.head_dim, source);
  if (config.windowed_rope) validate_rope(*config.windowed_rope, config.head_dim, source);
}

}  // namespace millrace
