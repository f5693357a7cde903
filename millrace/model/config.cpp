#include "millrace/model/config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/kernels/causal_convolution.h"

namespace millrace {
namespace {

/// Beyond what any published model has, and small enough that products of two stay in 64 bits.
constexpr int64_t kMaxExtent = int64_t{1} << 24;

void check_extent(int64_t value, std::string_view name, std::string_view source) {
  require(value > 0 && value <= kMaxExtent, "{}: {} is {}; it must be between 1 and {}", source,
          name, value, kMaxExtent);
}

/// Rope's own checks name its fields; here they get the name of the file.
void validate_rope(const RopeParameters& rope, std::string_view source) {
  if (rope.rotary_dim == 0) return;
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
    for (const int64_t tokens : {int64_t{0}, int64_t{1} << 40}) {
      const RopeFrequencies result = rope_frequencies(rope, rope_length(rope, tokens));
      const bool finite =
          std::isfinite(result.attention_factor) &&
          std::all_of(result.inverse.begin(), result.inverse.end(),
                      [](float frequency) { return std::isfinite(frequency) && frequency >= 0; });
      require(finite, "rope_scaling and rope_theta give frequencies that are no numbers");
    }
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
}

}  // namespace

LayerSizes ModelConfig::sizes(int64_t layer) const {
  return layer_sizes.empty() ? own_sizes() : layer_sizes[static_cast<size_t>(layer)];
}

ModelConfig ModelConfig::with_sizes_of(int64_t layer) const {
  const LayerSizes own = sizes(layer);
  ModelConfig config = *this;
  config.num_heads = own.num_heads;
  config.num_kv_heads = own.num_kv_heads;
  config.head_dim = own.head_dim;
  config.intermediate_size = own.intermediate_size;
  config.layer_sizes.clear();
  return config;
}

AttentionShape ModelConfig::shape_of(const LayerSizes& sizes) const {
  AttentionShape shape;
  shape.num_heads = sizes.num_heads;
  shape.num_kv_heads = sizes.num_kv_heads;
  shape.head_dim = sizes.head_dim;
  shape.scale =
      attention_scale != 0 ? attention_scale : 1.0f / std::sqrt(static_cast<float>(sizes.head_dim));
  shape.softcap = attention_softcap;
  shape.alibi_max_bias = alibi_max_bias;
  shape.causal = causal;
  return shape;
}

bool ModelConfig::is_windowed(int64_t layer) const {
  return sliding_window > 0 && (windowed.empty() || windowed[static_cast<size_t>(layer)]);
}

const RopeParameters& ModelConfig::rope_of(int64_t layer) const {
  return windowed_rope && is_windowed(layer) ? *windowed_rope : rope;
}

bool ModelConfig::has_experts(int64_t layer) const {
  return experts.routing.num_experts > 0 &&
         (experts.layers.empty() || experts.layers[static_cast<size_t>(layer)]);
}

std::optional<ClampedGlu> ModelConfig::glu_of(int64_t layer, bool of_expert) const {
  const std::vector<float>& limits = of_expert ? expert_limits : mlp_limits;
  if (!clamped_glu || limits.empty()) return clamped_glu;
  ClampedGlu glu = *clamped_glu;
  glu.limit = limits[static_cast<size_t>(layer)];
  return glu.limit == 0 ? std::nullopt : std::optional(glu);
}

bool ModelConfig::is_linear(int64_t layer) const {
  return !linear_layers.empty() && linear_layers[static_cast<size_t>(layer)];
}

LinearAttentionShape ModelConfig::lightning_shape(int64_t layer) const {
  // The first layer forgets fastest, the last one hardly.
  const double depth = static_cast<double>(layer) / (static_cast<double>(num_layers - 1) + 1e-5);
  const LayerSizes own = sizes(layer);
  return {own.num_heads, own.head_dim, static_cast<float>(1 - depth + 1e-5)};
}

int64_t ModelConfig::num_linear_layers() const {
  return std::count(linear_layers.begin(), linear_layers.end(), true);
}

int64_t ModelConfig::linear_state_size() const {
  return delta_net.key_heads > 0 ? delta_net.state_size() : lightning_shape(0).state_size();
}

int64_t ModelConfig::kv_layer(int64_t layer) const {
  const int64_t first = num_layers - num_kv_shared_layers;  // of those that share
  if (layer < first) return layer;
  int64_t source = first - 1;
  while (source >= 0 && is_windowed(source) != is_windowed(layer)) --source;
  return source;
}

bool ModelConfig::lends_kv(int64_t layer) const {
  const int64_t first = num_layers - num_kv_shared_layers;
  for (int64_t i = first; i < num_layers && layer < first; ++i) {
    if (kv_layer(i) == layer) return true;
  }
  return false;
}

std::optional<float> ModelConfig::gate_deviations(int64_t layer) const {
  if (sparsity.empty() || sparsity[static_cast<size_t>(layer)] == 0) return std::nullopt;
  return static_cast<float>(normal_quantile(sparsity[static_cast<size_t>(layer)]));
}

int64_t ModelConfig::attention_index(int64_t layer) const {
  if (linear_layers.empty()) return kv_layer(layer);
  return std::count(linear_layers.begin(), linear_layers.begin() + layer, is_linear(layer));
}

IndexerKind ModelConfig::indexer_of(int64_t layer) const {
  if (indexer.selector.num_heads == 0) return IndexerKind::none;
  return indexer.layers.empty() ? IndexerKind::own : indexer.layers[static_cast<size_t>(layer)];
}

int64_t ModelConfig::num_indexers() const {
  if (indexer.selector.num_heads == 0) return 0;
  return indexer.layers.empty() ? num_layers : std::ranges::count(indexer.layers, IndexerKind::own);
}

int64_t ModelConfig::indexer_index(int64_t layer) const {
  int64_t index = -1;
  for (int64_t i = 0; i < num_layers; ++i) index += is_cached(i);
  for (int64_t i = 0; i <= layer; ++i) index += indexer_of(i) == IndexerKind::own;
  return index;
}

AttentionShape ModelConfig::attention_shape(int64_t layer) const {
  AttentionShape shape = shape_of(sizes(layer));
  if (is_windowed(layer)) shape.sliding_window = sliding_window;
  return shape;
}

namespace {

/// What each layer has many of, tensors of its own each: more than any published model has would
/// only take memory.
void check_tensors(int64_t layers, int64_t each, std::string_view name, std::string_view source) {
  constexpr int64_t kMost = 1 << 16;
  require(layers * each <= kMost, "{}: {} layers have {} {} each; at most {} in all are supported",
          source, layers, each, name, kMost);
}

void validate_experts(const ModelConfig& config, std::string_view source) {
  const ExpertsConfig& experts = config.experts;
  const Routing& how = experts.routing;
  if (how.num_experts == 0) return;
  require(how.num_experts > 0 && how.num_experts <= kMaxExperts,
          "{}: there are {} experts; at most {} are supported", source, how.num_experts,
          kMaxExperts);
  for (const auto& [name, count] : {std::pair("expert groups (n_group)", how.groups),
                                    std::pair("prototypes", how.prototypes)}) {
    require(count > 0 && how.num_experts % count == 0, "{}: {} experts are not {} {}", source,
            how.num_experts, count, name);
  }
  require(how.top_groups > 0 && how.top_groups <= how.groups && how.group_best > 0,
          "{}: topk_group is {}; it must be between 1 and n_group, {}", source, how.top_groups,
          how.groups);
  const int64_t choices = how.num_experts / how.groups * how.top_groups / how.prototypes;
  require(how.top_k > 0 && how.top_k <= choices,
          "{}: num_experts_per_tok is {}; it must be between 1 and {}", source, how.top_k, choices);
  require(
      how.capacity >= 0 && std::abs(how.scale) < 1e6f && how.least_sum >= 0 && how.least_sum < 1e6f,
      "{}: a capacity of experts is {}, a factor of their weights {}, their least sum {}", source,
      how.capacity, how.scale, how.least_sum);
  check_extent(experts.intermediate_size, "moe_intermediate_size", source);
  if (experts.shared_intermediate_size != 0) {
    check_extent(experts.shared_intermediate_size, "the shared expert's size", source);
  }
  require(experts.layers.empty() || experts.layers.size() == static_cast<size_t>(config.num_layers),
          "{}: {} layers are said to have experts or not; there are {}", source,
          experts.layers.size(), config.num_layers);
}

void validate_buckets(const DistanceBuckets& buckets, std::string_view source) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t exact = buckets.count / (buckets.both_ways ? 4 : 2);
  require(exact > 0 && buckets.count <= kMost,
          "{}: relative_attention_num_buckets is {}; it must be between 4 and {}", source,
          buckets.count, kMost);
  require(buckets.max_distance > exact && buckets.max_distance <= kMost,
          "{}: relative_attention_max_distance is {}; it must be between {} and {}", source,
          buckets.max_distance, exact + 1, kMost);
}

void validate_encoder(const ModelConfig& config, std::string_view source) {
  if (!config.has_encoder()) return;
  require(config.num_encoder_layers > 0 && config.num_encoder_layers < config.num_layers,
          "{}: {} of {} layers are an encoder's; there must be some of both", source,
          config.num_encoder_layers, config.num_layers);
  validate_buckets(config.encoder_buckets, source);
  validate_buckets(config.decoder_buckets, source);
  require(config.decoder_start_token_id >= 0 && config.decoder_start_token_id < config.vocab_size,
          "{}: decoder_start_token_id is {}; there are {} tokens", source,
          config.decoder_start_token_id, config.vocab_size);
}

void validate_sizes(const LayerSizes& sizes, std::string_view source) {
  check_extent(sizes.num_heads, "num_attention_heads", source);
  check_extent(sizes.num_kv_heads, "num_key_value_heads", source);
  check_extent(sizes.head_dim, "head_dim", source);
  check_extent(sizes.intermediate_size, "intermediate_size", source);
  require(sizes.num_heads <= 4096 && sizes.head_dim <= 4096,
          "{}: {} heads of {}; at most 4096 of 4096 are supported", source, sizes.num_heads,
          sizes.head_dim);
  require(sizes.num_heads % sizes.num_kv_heads == 0,
          "{}: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})", source,
          sizes.num_heads, sizes.num_kv_heads);
}

void validate_layer_sizes(const ModelConfig& config, std::string_view source) {
  validate_sizes(config.own_sizes(), source);
  if (config.layer_sizes.empty()) return;
  require(config.layer_sizes.size() == static_cast<size_t>(config.num_layers),
          "{}: {} layers have sizes of their own; there are {}", source, config.layer_sizes.size(),
          config.num_layers);
  require(config.latent.kv_rank == 0, "{}: layers of latent attention differ in size", source);
  for (const LayerSizes& sizes : config.layer_sizes) validate_sizes(sizes, source);
}

void validate_latent(const ModelConfig& config, std::string_view source) {
  const LatentConfig& latent = config.latent;
  if (latent.kv_rank == 0) return;
  check_tensors(config.num_layers, config.num_heads, "heads of latent attention", source);
  constexpr int64_t kMost = 1 << 16;
  for (const auto& [name, extent] :
       {std::pair("kv_lora_rank", latent.kv_rank), std::pair("qk_nope_head_dim", latent.key_dim),
        std::pair("qk_rope_head_dim", latent.rope_dim), std::pair("v_head_dim", latent.value_dim),
        std::pair("q_lora_rank", latent.q_rank + (latent.q_rank == 0 ? 1 : 0))}) {
    require(extent > 0 && extent <= kMost, "{}: {} is {}; it must be between 1 and {}", source,
            name, extent, kMost);
  }
}

void validate_delta_net(const DeltaNetConfig& net, std::string_view source) {
  for (const auto& [name, extent] : {std::pair("linear_num_key_heads", net.key_heads),
                                     std::pair("linear_num_value_heads", net.value_heads),
                                     std::pair("linear_key_head_dim", net.key_dim),
                                     std::pair("linear_value_head_dim", net.value_dim)}) {
    constexpr int64_t kMost = 4096;
    require(extent > 0 && extent <= kMost, "{}: {} is {}; it must be between 1 and {}", source,
            name, extent, kMost);
  }
  require(net.value_heads % net.key_heads == 0,
          "{}: linear_num_value_heads ({}) is not a multiple of linear_num_key_heads ({})", source,
          net.value_heads, net.key_heads);
  require(net.kernel > 1 && net.kernel <= kMaxConvolutionKernel,
          "{}: linear_conv_kernel_dim is {}; it must be between 2 and {}", source, net.kernel,
          kMaxConvolutionKernel);
  require(net.state_size() <= kMaxExtent * 16,
          "{}: heads of linear attention make too large states", source);
}

void validate_linear_layers(const ModelConfig& config, std::string_view source) {
  if (config.linear_layers.empty()) return;
  require(config.linear_layers.size() == static_cast<size_t>(config.num_layers) &&
              config.num_linear_layers() < config.num_layers,
          "{}: of {} layers {} are said to have linear attention or not; one of them must have "
          "softmax attention",
          source, config.num_layers, config.linear_layers.size());
  if (config.delta_net.key_heads != 0) return validate_delta_net(config.delta_net, source);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const LayerSizes sizes = config.sizes(layer);
    require(sizes.num_heads * sizes.head_dim <= kMaxExtent / sizes.head_dim,
            "{}: {} heads of {} make too large a state", source, sizes.num_heads, sizes.head_dim);
  }
}

void validate_glu(const ModelConfig& config, std::string_view source) {
  for (const std::vector<float>* limits : {&config.expert_limits, &config.mlp_limits}) {
    require(limits->empty() || limits->size() == static_cast<size_t>(config.num_layers),
            "{}: gates of {} layers have limits; there are {}", source, limits->size(),
            config.num_layers);
    require(std::ranges::all_of(*limits, [](float limit) { return limit >= 0; }),
            "{}: a limit of gates is below 0", source);
  }
}

void validate_indexer(const ModelConfig& config, std::string_view source) {
  const IndexerConfig& indexer = config.indexer;
  const KeySelector& selector = indexer.selector;
  if (selector.num_heads == 0) return;
  millrace::validate(selector, source);
  require(indexer.layers.empty() || indexer.layers.size() == static_cast<size_t>(config.num_layers),
          "{}: of {} layers is said how their keys are chosen; there are {}", source,
          indexer.layers.size(), config.num_layers);
  for (const IndexerKind kind : indexer.layers) {
    if (kind == IndexerKind::own) break;
    require(kind == IndexerKind::none,
            "{}: a layer shares an indexer, but no layer before it has one", source);
  }
  require(selector.head_dim >= config.rope.rotary_dim,
          "{}: index_head_dim is {}; rope turns {} values", source, selector.head_dim,
          config.rope.rotary_dim);
  require(!selector.heads_choose || selector.num_heads == config.num_kv_heads,
          "{}: index_n_heads is {}; each chooses for one of {} key-value heads", source,
          selector.num_heads, config.num_kv_heads);
  require(indexer.norm_eps > 0 && indexer.norm_eps < 1, "{}: the indexer's epsilon is {}", source,
          indexer.norm_eps);
}

void validate_shared_layers(const ModelConfig& config, std::string_view source) {
  require(config.num_kv_shared_layers >= 0 && config.num_kv_shared_layers < config.num_layers,
          "{}: num_kv_shared_layers is {} of {} layers", source, config.num_kv_shared_layers,
          config.num_layers);
  for (int64_t i = config.num_layers - config.num_kv_shared_layers; i < config.num_layers; ++i) {
    const int64_t from = config.kv_layer(i);
    require(from >= 0, "{}: layer {} shares keys and values, but none before has {} window", source,
            i, config.is_windowed(i) ? "a" : "no");
    const LayerSizes own = config.sizes(i), other = config.sizes(from);
    require(own.head_dim == other.head_dim && own.num_kv_heads == other.num_kv_heads,
            "{}: layer {} reads the keys and values of layer {}, whose heads are others", source, i,
            from);
  }
}

void validate_streams(const ModelConfig& config, std::string_view source) {
  if (config.per_layer.size != 0) {
    check_extent(config.per_layer.size, "hidden_size_per_layer_input", source);
    check_extent(config.per_layer.vocab_size, "vocab_size_per_layer_input", source);
    check_extent(config.per_layer.size * config.num_layers, "all per-layer inputs", source);
  }
  const AltUpConfig& altup = config.altup;
  require(altup.streams == 0 || (altup.streams > 1 && altup.streams <= 64),
          "{}: altup_num_inputs is {}; it must be between 2 and 64", source, altup.streams);
  require(altup.active >= 0 && altup.active < std::max<int64_t>(altup.streams, 1),
          "{}: altup_active_idx is {} of {} inputs", source, altup.active, altup.streams);
  if (altup.streams > 0) {
    check_extent(altup.laurel_rank, "laurel_rank", source);
    require(config.per_layer.size > 0, "{}: AltUp without per-layer inputs", source);
  }
  require(
      config.sparsity.empty() || config.sparsity.size() == static_cast<size_t>(config.num_layers),
      "{}: activation_sparsity_pattern is of {} layers; there are {}", source,
      config.sparsity.size(), config.num_layers);
  for (double part : config.sparsity) {
    require(part >= 0 && part < 1, "{}: activation_sparsity_pattern has {}; it must be below 1",
            source, part);
  }
}

}  // namespace

double normal_quantile(double probability) {
  double low = -40, high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (normal_probability(middle) < probability ? low : high) = middle;
  }
  return low;
}

double normal_probability(double deviations) {
  return 0.5 * std::erfc(-deviations / std::numbers::sqrt2);
}

void require_causal(const ModelConfig& config) {
  require(
      config.causal && config.head == HeadKind::tokens,
      "a {} model is an encoder: it reads whole texts and continues none (see millrace embed and "
      "millrace rerank)",
      config.model_type);
}

void validate(const ModelConfig& config, std::string_view source) {
  check_extent(config.vocab_size, "vocab_size", source);
  check_extent(config.hidden_size, "hidden_size", source);
  check_extent(config.max_position_embeddings, "max_position_embeddings", source);
  if (config.embedding_size != 0)
    check_extent(config.embedding_size, "word_embed_proj_dim", source);
  for (int64_t count : {config.position_offset, config.num_token_types, config.num_task_types}) {
    require(count >= 0 && count <= kMaxExtent,
            "{}: pad_token_id, type_vocab_size or task_type_vocab_size makes no sense", source);
  }
  require((config.head == HeadKind::labels) == !config.labels.empty(),
          "{}: a classifier needs labels (id2label)", source);
  require(config.num_layers > 0 && config.num_layers <= 4096,
          "{}: num_hidden_layers is {}; it must be between 1 and 4096", source, config.num_layers);
  validate_layer_sizes(config, source);
  require(config.sliding_window >= 0 && config.sliding_window <= (int64_t{1} << 40),
          "{}: sliding_window is {}", source, config.sliding_window);
  require(
      config.windowed.empty() || config.windowed.size() == static_cast<size_t>(config.num_layers),
      "{}: layer_types says of {} layers whether they have a window; there are {}", source,
      config.windowed.size(), config.num_layers);
  for (float factor : {config.attention_scale, config.embedding_scale, config.head_input_scale,
                       config.attention_residual.residual, config.attention_residual.output,
                       config.linear_residual.residual, config.linear_residual.output,
                       config.mlp_residual.residual, config.mlp_residual.output}) {
    require(std::abs(factor) < 1e30f, "{}: a scale of attention, embeddings or residuals is {}",
            source, factor);
  }
  for (float bound : {config.attention_softcap, config.logit_softcap, config.alibi_max_bias}) {
    require(bound == 0 || (bound > 1e-3f && bound < 1e6f),
            "{}: a softcap or ALiBi's greatest bias is {}; it must be above 0", source, bound);
  }
  require(std::abs(config.query_growth.beta) < 1e6f && config.query_growth.length > 0,
          "{}: queries grow by {} with every {} positions", source, config.query_growth.beta,
          config.query_growth.length);
  validate_experts(config, source);
  require(config.streams.count >= 0 && config.streams.count <= 64 &&
              std::abs(config.streams.magnitude) < 1e6f && std::abs(config.streams.epsilon) < 1e6f,
          "{}: a residual of {} streams (hc_mult) with hc_magnitude {} and hc_eps {}", source,
          config.streams.count, config.streams.magnitude, config.streams.epsilon);
  validate_glu(config, source);
  validate_latent(config, source);
  validate_indexer(config, source);
  validate_encoder(config, source);
  validate_linear_layers(config, source);
  validate_shared_layers(config, source);
  validate_streams(config, source);
  require(config.num_extra_layers >= 0 && config.num_extra_layers <= 64,
          "{}: num_nextn_predict_layers is {}", source, config.num_extra_layers);
  require(config.norm_eps > 0 && config.norm_eps < 1, "{}: the norm's epsilon is {}", source,
          config.norm_eps);
  require(config.dtype == DType::f32 || config.dtype == DType::bf16 || config.dtype == DType::f16,
          "{}: dtype is {}; it must be float32, bfloat16 or float16", source,
          info(config.dtype).name);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const int64_t turned = config.rope_of(layer).rotary_dim, dim = config.sizes(layer).head_dim;
    require(turned >= 0 && turned <= dim,
            "{}: rope turns {} dimensions (rope.dimension_count), heads have {}", source, turned,
            dim);
  }
  validate_rope(config.rope, source);
  if (config.windowed_rope) validate_rope(*config.windowed_rope, source);
}

}  // namespace millrace
