#include "millrace/model/encoder_decoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/feed_forward.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

enum Outer : size_t { kEmbedding, kEncoderNorm, kDecoderNorm, kHead };

/// The tensors of one layer. Those of a decoder follow those of an encoder, experts included.
enum Layer : size_t {
  kNorm,
  kQ,
  kQBias,  // no model has one
  kK,
  kKBias,
  kV,
  kVBias,
  kO,
  kOBias,
  kDistanceBias,
  kCrossNorm,
  kCrossQ,
  kCrossQBias,
  kCrossK,
  kCrossKBias,
  kCrossV,
  kCrossVBias,
  kCrossO,
  kCrossOBias,
  kMlpNorm,
  kMlp,
  kExperts = kMlp + feed_forward_place::kCount
};

/// What llama.cpp takes for the greatest distance with a bias of its own.
constexpr int64_t kMaxDistanceInGguf = 128;

const FieldNames kFields = {.hidden_size = "d_model",
                            .num_layers = "num_layers",
                            .num_heads = "num_heads",
                            .head_dim = "d_kv",
                            .intermediate_size = "d_ff",
                            .max_positions = "",
                            .activation = "",
                            .norm_eps = "layer_norm_epsilon",
                            .initializer_range = "initializer_factor",
                            .default_activation = "relu",
                            .default_tied = true,
                            .norm = NormKind::rms,
                            .rope = false,
                            .default_head_dim = 64,
                            .default_max_positions = 16384};  // any distance has a bias

/// What no file says, from what files do.
void set_encoder_decoder(ModelConfig& config, int64_t num_decoder_layers, int64_t num_buckets,
                         int64_t max_distance) {
  config.num_encoder_layers = config.num_layers;
  config.num_layers += num_decoder_layers;
  config.attention_scale = 1;
  config.rope.rotary_dim = 0;
  config.encoder_buckets = {num_buckets, max_distance, true};
  config.decoder_buckets = {num_buckets, max_distance, false};
}

/// Once it is known whether embeddings are the head.
void set_head_scale(bool scaled, ModelConfig& config) {
  const auto width = static_cast<float>(config.hidden_size);
  config.head_input_scale = scaled ? 1 / std::sqrt(width) : 1;
}

/// "feed_forward_proj": an activation, or "gated-" and one; of gated ones gelu is the tanh form.
void read_mlp(const std::string& name, std::string_view source, ModelConfig& config) {
  constexpr std::string_view kGated = "gated-";
  config.gated_mlp = name.starts_with(kGated);
  const std::string activation = config.gated_mlp ? name.substr(kGated.size()) : name;
  const auto known =
      name == "gated-gelu" ? Activation::gelu_tanh : activation_from_name(activation);
  require(known.has_value(), "{}: feed_forward_proj is {}, which is not supported", source,
          quote(name));
  config.activation = *known;
}

std::string mlp_name(const ModelConfig& config) {
  if (!config.gated_mlp) return std::string(activation_field(config.activation));
  if (config.activation == Activation::gelu_tanh) return "gated-gelu";
  return "gated-" + std::string(activation_field(config.activation));
}

/// Where the tensors of a decoder's layers begin.
size_t first_of_decoder(const Model& model) {
  return model.specs().layer.size() / 2;
}

const Parameter* distance_bias(const LayerWeights& weights, int64_t first_layer) {
  const Parameter* own = weights.find(kDistanceBias);
  return own ? own : LayerWeights{weights.model, first_layer, weights.first}.find(kDistanceBias);
}

Value attention(Context& ctx, const LayerWeights& weights, const Value& h) {
  const ModelConfig& config = weights.model.config();
  const bool decodes = weights.index >= config.num_encoder_layers;
  const int64_t first_layer = decodes ? config.num_encoder_layers : 0;
  AttentionShape shape = config.attention_shape(weights.index);
  shape.causal = decodes;
  const auto [q, k, v] =
      ctx.linears<3>(h, {weights.linear(kQ), weights.linear(kK), weights.linear(kV)});
  const Value seen =
      ctx.attention(weights.index - first_layer, q, k, v, shape,
                    {.bias_table = distance_bias(weights, first_layer),
                     .buckets = decodes ? config.decoder_buckets : config.encoder_buckets});
  return ctx.linear(seen, weights.at(kO));
}

/// Attention to the prefixes, of which `encoded` is what the encoder made; it has no rows where
/// their keys and values are in the cache.
Value cross_attention(Context& ctx, const LayerWeights& weights, const Value& h,
                      const Value& encoded) {
  const ModelConfig& config = weights.model.config();
  AttentionShape shape = config.attention_shape(weights.index);
  shape.causal = false;
  std::array<Value, 2> keys_values;
  if (!encoded.data.empty()) {
    ctx.set_part(Part::prefix);
    keys_values = ctx.linears<2>(encoded, {weights.linear(kCrossK), weights.linear(kCrossV)});
    ctx.set_part(Part::behind);
  }
  const Value q = ctx.linear(h, weights.at(kCrossQ));
  const Value seen = ctx.attention(weights.index - config.num_encoder_layers, q, keys_values[0],
                                   keys_values[1], shape, {.of_prefixes = true});
  return ctx.linear(seen, weights.at(kCrossO));
}

Value norm(Context& ctx, const LayerWeights& weights, const Value& x, Layer place) {
  return ctx.rms_norm(x, weights.at(place), weights.model.config().norm_eps);
}

Value mlp(Context& ctx, const LayerWeights& weights, const Value& h) {
  if (weights.model.config().has_experts(weights.index)) return experts(ctx, weights, kExperts, h);
  return feed_forward(ctx, weights, kMlp, h);
}

/// What `body` makes of a part of x; other rows stay.
template <typename Body>
Value on_part(Context& ctx, Part part, const Value& x, const Body& body) {
  const std::vector<int64_t>& rows = ctx.part_rows(part).rows;
  if (rows.empty()) return x;
  const bool all = static_cast<int64_t>(rows.size()) == x.rows();
  ctx.set_part(part);
  const Value y = body(all ? x : ctx.gather_rows(x, rows));
  ctx.set_part(Part::whole);
  return all ? y : ctx.with_rows(x, rows, y);
}

Value encoder_layer(Context& ctx, const LayerWeights& weights, const Value& x) {
  return on_part(ctx, Part::prefix, x, [&](const Value& h) {
    const Value y = ctx.add(h, attention(ctx, weights, norm(ctx, weights, h, kNorm)));
    return ctx.add(y, mlp(ctx, weights, norm(ctx, weights, y, kMlpNorm)));
  });
}

Value decoder_layer(Context& ctx, const LayerWeights& weights, const Value& x) {
  const std::vector<int64_t>& prefixes = ctx.part_rows(Part::prefix).rows;
  const Value encoded = prefixes.empty() ? Value{} : ctx.gather_rows(x, prefixes);
  return on_part(ctx, Part::behind, x, [&](const Value& h) {
    Value y = ctx.add(h, attention(ctx, weights, norm(ctx, weights, h, kNorm)));
    y = ctx.add(y, cross_attention(ctx, weights, norm(ctx, weights, y, kCrossNorm), encoded));
    return ctx.add(y, mlp(ctx, weights, norm(ctx, weights, y, kMlpNorm)));
  });
}

/// The tensors of a part of attention. Scores are not scaled but by how queries begin.
void add_attention(const ModelConfig& c, const std::string& name, const std::string& gguf_name,
                   size_t first, SpecTable& table) {
  const int64_t inner = c.num_heads * c.head_dim, hidden = c.hidden_size;
  constexpr auto kNormal = Initialization::normal;
  table.linear(first, name + ".q", gguf_name + "_q", {inner, hidden}, false, kNormal);
  table.linear(first + kK - kQ, name + ".k", gguf_name + "_k", {inner, hidden}, false, kNormal);
  table.linear(first + kV - kQ, name + ".v", gguf_name + "_v", {inner, hidden}, false, kNormal);
  table.linear(first + kO - kQ, name + ".o", gguf_name + "_o", {hidden, inner}, false, kNormal);
}

/// How far from 0 a layer's matrices begin.
void set_beginnings(const ModelConfig& c, std::vector<TensorSpec>& specs) {
  for (TensorSpec& spec : specs) {
    if (spec.shape.rank() != 2) continue;
    spec.initialization = Initialization::normal;
    spec.std_dev = c.initializer_range / std::sqrt(static_cast<float>(spec.shape[1]));
  }
  for (size_t query : {kQ, kCrossQ}) {
    specs[query].std_dev /= std::sqrt(static_cast<float>(c.head_dim));
  }
  specs[kDistanceBias].std_dev = c.initializer_range / std::sqrt(static_cast<float>(c.hidden_size));
}

/// The tensors are those of the layers from `begin` to `end`.
void set_layers(const ModelConfig& c, int64_t begin, int64_t end, std::vector<TensorSpec>& specs) {
  for (TensorSpec& spec : specs) {
    if (spec.layers.empty()) spec.layers.assign(static_cast<size_t>(c.num_layers), true);
    for (int64_t i = 0; i < c.num_layers; ++i) {
      if (i < begin || i >= end) spec.layers[static_cast<size_t>(i)] = false;
    }
    spec.first_layer = begin;
  }
}

/// The tensors of an encoder's layers, or of a decoder's.
std::vector<TensorSpec> stack_tensors(const ModelConfig& c, const EncoderDecoderNames& names,
                                      bool decodes) {
  const int64_t hidden = c.hidden_size;
  const int64_t begin = decodes ? c.num_encoder_layers : 0;
  const int64_t end = decodes ? c.num_layers : c.num_encoder_layers;
  std::vector<TensorSpec> specs;
  SpecTable table{specs, decodes ? "decoder.block.{}." : "encoder.block.{}.",
                  decodes ? "dec.blk.{}." : "enc.blk.{}."};
  table.norm(kNorm, "layer.0.layer_norm", "attn_norm", hidden, false);
  add_attention(c, "layer.0.SelfAttention", "attn", kQ, table);
  TensorSpec& bias =
      table.add(kDistanceBias, true, "layer.0.SelfAttention.relative_attention_bias", "attn_rel_b",
                {c.encoder_buckets.count, c.num_heads}, Initialization::normal);
  bias.is_table = true;
  if (!names.bias_in_every_layer) {
    bias.layers.assign(static_cast<size_t>(c.num_layers), false);
    bias.layers[static_cast<size_t>(begin)] = true;
  }
  if (decodes) {
    table.norm(kCrossNorm, "layer.1.layer_norm", "cross_attn_norm", hidden, false);
    add_attention(c, "layer.1.EncDecAttention", "cross_attn", kCrossQ, table);
  }
  const std::string last = decodes ? "layer.2." : "layer.1.", inner = last + names.mlp;
  table.norm(kMlpNorm, last + "layer_norm", "ffn_norm", hidden, false);
  for (int64_t i = 0; i < c.num_layers; ++i) table.layers.push_back(!c.has_experts(i));
  const FeedForwardNames parts = {c.gated_mlp ? inner + ".wi_0" : "",
                                  inner + (c.gated_mlp ? ".wi_1" : ".wi"), inner + ".wo"};
  add_feed_forward(c, parts, "ffn_{}", c.intermediate_size, false, kMlp, table);
  ExpertNames expert_names = names.experts;
  expert_names.router = last + expert_names.router;
  expert_names.expert = last + expert_names.expert;
  specs.resize(std::max<size_t>(specs.size(), kExperts));
  add_experts(c, expert_names, kExperts, table);
  set_beginnings(c, specs);
  set_layers(c, begin, end, specs);
  return specs;
}

void require_prefixes(const RaggedBatch& batch, const ModelConfig& config) {
  const bool all = std::all_of(batch.prefix.begin(), batch.prefix.end(),
                               [](int32_t prefix) { return prefix > 0; });
  require(all, "a {} model reads a text and writes another: there is none for it to read",
          config.model_type);
}

}  // namespace

ModelConfig read_encoder_decoder_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  require(optional_json_field<bool>(json, "is_encoder_decoder", source).value_or(true),
          "{}: an encoder without a decoder (is_encoder_decoder) is not supported", source);
  const auto integer_or = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  set_encoder_decoder(config, integer_or("num_decoder_layers", config.num_layers),
                      integer_or("relative_attention_num_buckets", 32),
                      integer_or("relative_attention_max_distance", 128));
  config.initializer_range =
      optional_json_field<float>(json, "initializer_factor", source).value_or(1);
  read_mlp(optional_json_field<std::string>(json, "feed_forward_proj", source).value_or("relu"),
           source, config);
  // transformers 5 calls all heads tied, and tells by this field which are.
  const bool scaled = optional_json_field<bool>(json, "scale_decoder_outputs", source)
                          .value_or(config.tie_word_embeddings);
  config.tie_word_embeddings = config.tie_word_embeddings && scaled;
  set_head_scale(config.tie_word_embeddings, config);
  const auto pad = integer_or("pad_token_id", 0);
  config.decoder_start_token_id = static_cast<int32_t>(integer_or("decoder_start_token_id", pad));
  if (config.eos_token_ids.empty()) config.eos_token_ids = {1};
  validate(config, source);
  return config;
}

Json write_encoder_decoder_config(const ModelConfig& config, std::string_view architecture) {
  Json json = write_common_fields(config, architecture, kFields);
  json["num_layers"] = config.num_encoder_layers;
  json["num_decoder_layers"] = config.num_layers - config.num_encoder_layers;
  json["relative_attention_num_buckets"] = config.encoder_buckets.count;
  json["relative_attention_max_distance"] = config.encoder_buckets.max_distance;
  json["feed_forward_proj"] = mlp_name(config);
  json["is_encoder_decoder"] = true;
  json["decoder_start_token_id"] = json["pad_token_id"] = config.decoder_start_token_id;
  return json;
}

ModelConfig read_encoder_decoder_gguf(const GgufFile& file) {
  const GgufMetadata& keys = file.metadata;
  const bool gated = file.tensors.find("enc.blk.0.ffn_gate.weight") != nullptr;
  ModelConfig config =
      read_common_keys(file, "t5", gated ? Activation::gelu_tanh : Activation::relu);
  config.gated_mlp = gated;
  set_encoder_decoder(
      config, keys.get_optional<int64_t>("t5.decoder_block_count").value_or(config.num_layers),
      keys.get<int64_t>("t5.attention.relative_buckets_count"), kMaxDistanceInGguf);
  set_head_scale(config.tie_word_embeddings, config);
  config.decoder_start_token_id =
      keys.get_optional<int32_t>("t5.decoder_start_token_id").value_or(0);
  const bool every_layer = file.tensors.find("enc.blk.1.attn_rel_b.weight") != nullptr;
  if (every_layer) config.model_type = "umt5";
  validate(config, keys.source());
  return config;
}

GgufMetadata write_encoder_decoder_gguf(const ModelConfig& config) {
  require(config.encoder_buckets.max_distance == kMaxDistanceInGguf,
          "GGUF's t5 architecture means biases for distances up to {}; this model's reach {}",
          kMaxDistanceInGguf, config.encoder_buckets.max_distance);
  GgufMetadata keys =
      write_common_keys(config, "t5", config.gated_mlp ? Activation::gelu_tanh : Activation::relu);
  keys.set("t5.block_count", static_cast<uint32_t>(config.num_encoder_layers));
  keys.set("t5.decoder_block_count",
           static_cast<uint32_t>(config.num_layers - config.num_encoder_layers));
  keys.set("t5.attention.key_length", static_cast<uint32_t>(config.head_dim));
  keys.set("t5.attention.value_length", static_cast<uint32_t>(config.head_dim));
  keys.set("t5.attention.relative_buckets_count",
           static_cast<uint32_t>(config.encoder_buckets.count));
  keys.set("t5.decoder_start_token_id", static_cast<uint32_t>(config.decoder_start_token_id));
  return keys;
}

TensorSpecs encoder_decoder_tensors(const ModelConfig& c, const EncoderDecoderNames& names) {
  using enum Initialization;
  TensorSpecs specs;
  SpecTable outer{specs.outer, "", ""};
  outer.add(kEmbedding, true, "shared", "token_embd", {c.vocab_size, c.hidden_size}, normal);
  outer.norm(kEncoderNorm, "encoder.final_layer_norm", "enc.output_norm", c.hidden_size, false);
  outer.norm(kDecoderNorm, "decoder.final_layer_norm", "dec.output_norm", c.hidden_size, false);
  outer.add(kHead, !c.tie_word_embeddings, "lm_head", "output", {c.vocab_size, c.hidden_size},
            normal);
  specs.layer = stack_tensors(c, names, false);
  std::vector<TensorSpec> decoder = stack_tensors(c, names, true);
  const size_t places = std::max(specs.layer.size(), decoder.size());
  specs.layer.resize(places);
  decoder.resize(places);
  specs.layer.insert(specs.layer.end(), decoder.begin(), decoder.end());
  // Copies, and a bias of the first releases of T5 that nothing reads.
  specs.unneeded = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight",
                    "EncDecAttention.relative_attention_bias.weight"};
  return specs;
}

Value encoder_decoder_forward(Context& ctx, const Model& model) {
  const ModelConfig& config = model.config();
  require_prefixes(ctx.batch(), config);
  const auto normed = [&](const Value& x, Part part, Outer place) {
    return on_part(ctx, part, x, [&](const Value& h) {
      return ctx.rms_norm(h, *model.outer(place), config.norm_eps);
    });
  };
  Value x = ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens);
  for (int64_t i = 0; i < config.num_encoder_layers; ++i) {
    x = ctx.block(x, [&model, i](Context& c, const Value& h) {
      return encoder_layer(c, LayerWeights{model, i}, h);
    });
  }
  x = normed(x, Part::prefix, kEncoderNorm);
  for (int64_t i = config.num_encoder_layers; i < config.num_layers; ++i) {
    x = ctx.block(x, [&model, i](Context& c, const Value& h) {
      return decoder_layer(c, LayerWeights{model, i, first_of_decoder(model)}, h);
    });
  }
  return normed(x, Part::behind, kDecoderNorm);
}

Head encoder_decoder_head(const Model& model) {
  const Parameter* own = model.outer(kHead);
  return {own ? *own : *model.outer(kEmbedding)};
}

Value encoder_decoder_head_input(Context& ctx, const Model& model, const Value& hidden) {
  const float scale = model.config().head_input_scale;
  return scale == 1 ? hidden : ctx.scale(hidden, scale);
}

}  // namespace millrace
