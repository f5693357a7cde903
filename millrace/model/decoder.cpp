#include "millrace/model/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "millrace/model/altup.h"
#include "millrace/model/feed_forward.h"
#include "millrace/model/indexer.h"
#include "millrace/model/latent_attention.h"
#include "millrace/model/lightning_attention.h"
#include "millrace/model/per_layer_inputs.h"

namespace millrace {
namespace {

using namespace decoder;

/// Every text is of the first task.
constexpr int32_t kFirstTask[] = {0};

Value norm(Context& ctx, const ModelConfig& config, const Value& x, const Parameter* weight,
           const Parameter* bias = nullptr) {
  if (weight == nullptr) return x;
  return config.norm == NormKind::rms ? ctx.rms_norm(x, *weight, config.norm_eps)
                                      : ctx.layer_norm(x, *weight, bias, config.norm_eps);
}

bool is_query_layer(const ModelConfig& config, int64_t layer) {
  return config.query_layer && layer == config.num_layers - 1;
}

/// Queries or keys, turned by position.
Value turned(Context& ctx, const LayerWeights& weights, const Value& x) {
  const ModelConfig& config = weights.model.config();
  if (config.rope.rotary_dim == 0) return x;
  Rotation how = weights.model.rotation(ctx.batch(), weights.index);
  Value y = ctx.rope(x, how);
  if (!config.fills_blanks) return y;
  how.positions = ctx.batch().block_positions;  // they turn the other half of a head
  how.first = how.head_dim / 2;
  return ctx.rope(y, how);
}

/// Queries or keys, normed head by head and turned.
Value prepared(Context& ctx, const LayerWeights& weights, Value x, Layer head_norm) {
  const ModelConfig& config = weights.model.config();
  if (config.head_norms_after_rope) x = turned(ctx, weights, x);
  x = norm(ctx, config, x, weights.find(head_norm));
  return config.head_norms_after_rope ? x : turned(ctx, weights, x);
}

/// Projections of h, but for the queries of a query layer, which are of a position alone: that of
/// the token to predict.
std::array<Value, 3> queries_keys_values(Context& ctx, const LayerWeights& weights,
                                         const Value& h) {
  const Model& model = weights.model;
  if (weights.find(kV) == nullptr) {  // values are keys
    auto [q, k] = ctx.linears<2>(h, {weights.linear(kQ), weights.linear(kK)});
    return {q, k, k};
  }
  if (!is_query_layer(model.config(), weights.index)) {
    return ctx.linears<3>(h, {weights.linear(kQ), weights.linear(kK), weights.linear(kV)});
  }
  const Value expected = ctx.embed(*model.outer(kQueries), ctx.batch().positions);
  auto [k, v] = ctx.linears<2>(h, {weights.linear(kK), weights.linear(kV)});
  return {ctx.linear(expected, weights.at(kQ), weights.find(kQBias)), k, v};
}

/// Where the tensors of linear attention begin.
size_t first_linear(const ModelConfig& config) {
  return kOwn + latent_attention_places(config);
}

/// Where those of an indexer begin, but for that of latent attention.
size_t first_of_indexer(const ModelConfig& config) {
  return first_linear(config) + lightning_attention_places(config) + delta_net_places(config);
}

Value linear_attention(Context& ctx, const LayerWeights& weights, const Value& h) {
  const ModelConfig& config = weights.model.config();
  const size_t first = first_linear(config);
  const bool lightning = config.delta_net.key_heads == 0;
  return lightning ? lightning_attention(ctx, weights, first, h)
                   : delta_net(ctx, weights, first, h);
}

/// What layers read beside the state.
struct Beside {
  Value per_layer;  // the inputs of all layers

  /// Keys and values that later layers read too, of the layers without a window and of those with
  /// one.
  std::array<Value, 2> keys_values[2];
};

/// Queries, keys and values as attention takes them. Those that later layers read are kept in
/// `beside`.
std::array<Value, 3> heads(Context& ctx, const LayerWeights& weights, const Value& h,
                           Beside& beside) {
  const ModelConfig& config = weights.model.config();
  std::array<Value, 2>& shared = beside.keys_values[config.is_windowed(weights.index)];
  if (config.shares_kv(weights.index)) {
    const Value q = ctx.linear(h, weights.at(kQ), weights.find(kQBias));
    return {prepared(ctx, weights, q, kQNorm), shared[0], shared[1]};
  }
  auto [q, k, v] = queries_keys_values(ctx, weights, h);
  q = prepared(ctx, weights, q, kQNorm);
  k = prepared(ctx, weights, k, kKNorm);
  if (config.query_growth.beta != 0) q = ctx.grow(q, config.query_growth);
  if (config.unit_values) {
    v = ctx.unit_norm(v, config.sizes(weights.index).head_dim, config.norm_eps);
  }
  if (config.lends_kv(weights.index)) shared = {k, v};
  return {q, k, v};
}

Value attention(Context& ctx, const LayerWeights& weights, const Value& h, Beside& beside) {
  const ModelConfig& config = weights.model.config();
  if (config.is_linear(weights.index)) return linear_attention(ctx, weights, h);
  if (config.latent.kv_rank > 0) return latent_attention(ctx, weights, kOwn, h);
  const auto [q, k, v] = heads(ctx, weights, h, beside);
  const AttentionExtras extras = {
      .sinks = weights.find(kSinks),
      .selection = chosen_keys(ctx, weights, first_of_indexer(config), h, h)};
  Value seen = ctx.attention(config.attention_index(weights.index), q, k, v,
                             config.attention_shape(weights.index), extras);
  if (const Parameter* gate = weights.find(kHeadGate)) {
    seen = ctx.weigh_runs(seen, ctx.activate(ctx.linear(h, *gate), Activation::sigmoid));
  }
  if (config.gated_attention) {
    const auto [weight, bias] = weights.linear(kAttentionGate);
    seen = ctx.glu(Activation::sigmoid, ctx.linear(h, weight, bias), seen);
  }
  return ctx.linear(seen, weights.at(kO), weights.find(kOBias));
}

/// Where the tensors of per-layer inputs, of AltUp and of experts begin.
size_t first_per_layer(const ModelConfig& config) {
  const bool latent = config.latent.kv_rank > 0;  // has its indexer among its own
  return first_of_indexer(config) + (latent ? 0 : indexer_places(config));
}
size_t first_altup(const ModelConfig& config) {
  return first_per_layer(config) + per_layer_places(config);
}
size_t first_expert(const ModelConfig& config) {
  return first_altup(config) + altup_places(config);
}
/// The same outside of layers.
constexpr size_t kFirstAltUp = kOuterOwn + kOuterPerLayerPlaces;

/// Of h, which is the residual x normed.
Value mlp(Context& ctx, const LayerWeights& weights, const Value& h, const Value& x) {
  const ModelConfig& config = weights.model.config();
  if (!config.has_experts(weights.index)) return feed_forward(ctx, weights, kGate, h);
  if (!config.experts.beside_mlp) return experts(ctx, weights, first_expert(config), h);
  const Value own =
      norm(ctx, config, feed_forward(ctx, weights, kGate, h), weights.find(kMlpOwnNorm));
  const Value read = norm(ctx, config, x, weights.find(kExpertsNorm));
  const Value theirs = experts(ctx, weights, first_expert(config), read, x);
  return ctx.add(own, norm(ctx, config, theirs, weights.find(kExpertsOutputNorm)));
}

Value sum(Context& ctx, const ResidualFactors& factors, const Value& residual,
          const Value& output) {
  auto times = [&](const Value& x, float factor) { return factor == 1 ? x : ctx.scale(x, factor); };
  return ctx.add(times(residual, factors.residual), times(output, factors.output));
}

/// A layer between streams [tokens, n · hidden].
Value layer_of_streams(Context& ctx, const LayerWeights& weights, const Value& x, Beside& beside) {
  const ModelConfig& config = weights.model.config();
  StreamsRead read = read_streams(ctx, weights, kAttentionStreams, x);
  const Value h = norm(ctx, config, read.sum, weights.find(kInputNorm));
  const Value y = add_to_streams(ctx, config, x, read.takes, attention(ctx, weights, h, beside));
  read = read_streams(ctx, weights, kMlpStreams, y);
  const Value normed = norm(ctx, config, read.sum, weights.find(kMlpNorm));
  return add_to_streams(ctx, config, y, read.takes, mlp(ctx, weights, normed, read.sum));
}

/// Attention and an MLP.
Value core(Context& ctx, const LayerWeights& weights, const Value& x, Beside& beside) {
  const ModelConfig& config = weights.model.config();
  if (config.streams.count > 0) return layer_of_streams(ctx, weights, x, beside);
  if (config.norm_behind_residual) {
    Value y = norm(ctx, config, ctx.add(x, attention(ctx, weights, x, beside)),
                   weights.find(kInputNorm), weights.find(kInputNormBias));
    return norm(ctx, config, ctx.add(y, mlp(ctx, weights, y, y)), weights.find(kMlpNorm),
                weights.find(kMlpNormBias));
  }
  Value h = norm(ctx, config, x, weights.find(kInputNorm), weights.find(kInputNormBias));
  Value seen = norm(ctx, config, attention(ctx, weights, h, beside), weights.find(kAttentionNorm));
  const ResidualFactors& factors =
      config.is_linear(weights.index) ? config.linear_residual : config.attention_residual;
  Value y = sum(ctx, factors, config.normed_residual ? h : x, seen);
  if (config.altup.streams > 0) {
    y = ctx.scale(ctx.add(y, laurel(ctx, weights, first_altup(config), h)), std::sqrt(0.5f));
  }
  const Value& read = config.parallel_residual ? x : y;
  if (weights.find(kMlpNorm)) {
    h = norm(ctx, config, read, weights.find(kMlpNorm), weights.find(kMlpNormBias));
  }
  return sum(ctx, config.mlp_residual, config.normed_residual ? h : y,
             norm(ctx, config, mlp(ctx, weights, h, read), weights.find(kOutputNorm)));
}

/// What a layer makes of the state, with the inputs that it has beside it.
Value layer(Context& ctx, const LayerWeights& weights, const Value& x, Beside& beside) {
  const ModelConfig& config = weights.model.config();
  const size_t first = first_altup(config), inputs = first_per_layer(config);
  Value y;
  if (config.altup.streams > 0) {
    const Value predicted = altup_predict(ctx, weights, first, x);
    const Value active = altup_stream(ctx, config, predicted, config.altup.active);
    y = altup_correct(ctx, weights, first, predicted, core(ctx, weights, active, beside));
    const Value read = altup_scaled(ctx, weights, first, y);
    y = altup_add(ctx, config, y, per_layer_addition(ctx, weights, inputs, read, beside.per_layer));
  } else {
    y = core(ctx, weights, x, beside);
    if (config.per_layer.size > 0) {
      y = ctx.add(y, per_layer_addition(ctx, weights, inputs, y, beside.per_layer));
    }
  }
  const Parameter* scale = weights.find(kLayerScale);
  return scale == nullptr ? y : ctx.scale(y, scale->value.f32()[0]);
}

/// The same, which going back may run again. Not where later layers read of what is within.
Value next_state(Context& ctx, const LayerWeights& weights, const Value& x, Beside& beside) {
  const Model& model = weights.model;
  const int64_t i = weights.index;
  if (model.config().lends_kv(i)) return layer(ctx, weights, x, beside);
  if (model.config().per_layer.size == 0 && model.config().num_kv_shared_layers == 0) {
    return ctx.block(x, [&model, i](Context& c, const Value& h) {
      Beside nothing;
      return layer(c, LayerWeights{model, i}, h, nothing);
    });
  }
  return ctx.block(x, [&model, i, beside](Context& c, const Value& h) {
    Beside own = beside;
    return layer(c, LayerWeights{model, i}, h, own);
  });
}

/// The layers of which it holds; empty: it holds of all.
template <typename Holds>
std::vector<bool> layers_where(const ModelConfig& config, const Holds& holds) {
  std::vector<bool> layers;
  for (int64_t i = 0; i < config.num_layers; ++i) layers.push_back(holds(i));
  if (std::ranges::count(layers, false) == 0) layers.clear();
  return layers;
}

/// Of the layers that have no linear attention.
void add_attention(const ModelConfig& c, const DecoderNames& names, SpecTable table) {
  table.layers = layers_where(c, [&](int64_t i) { return !c.is_linear(i); });
  SpecTable own = table;  // of layers that have keys, and values, of their own
  own.layers = layers_where(c, [&](int64_t i) { return !c.is_linear(i) && !c.shares_kv(i); });
  SpecTable values = own;
  if (c.values_are_keys) {
    values.layers = layers_where(c, [&](int64_t i) { return !c.shares_kv(i) && c.is_windowed(i); });
  }
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  table.linear(kQ, names.q, "attn_q", {q, c.hidden_size}, c.attention_bias);
  own.linear(kK, names.k, "attn_k", {kv, c.hidden_size}, c.attention_bias);
  values.linear(kV, names.v, "attn_v", {kv, c.hidden_size}, c.attention_bias);
  table.linear(kO, names.o, "attn_output", {c.hidden_size, q}, c.attention_output_bias,
               Initialization::normal_residual);
  TensorSpec& sinks =
      table.add(kSinks, true, names.sinks, "attn_sinks", {c.num_heads}, Initialization::normal);
  if (sinks.shape.rank() > 0) sinks.name = table.prefix + names.sinks;
  table.linear(kHeadGate, names.head_gate, "attn_gate", {c.num_heads, c.hidden_size}, false);
  const bool all = names.norms_all_heads;
  table.norm(kQNorm, names.q_norm, "attn_q_norm", all ? q : c.head_dim, false);
  own.norm(kKNorm, names.k_norm, "attn_k_norm", all ? kv : c.head_dim, false);
  if (names.gguf_interleaves) {
    for (size_t place : {kQ, kQBias}) table.specs[place].interleaved_heads = c.num_heads;
    for (size_t place : {kK, kKBias}) table.specs[place].interleaved_heads = c.num_kv_heads;
  }
  if (c.gated_attention) {  // a head's queries, then as many gates
    table.linear(kAttentionGate, names.q + ".gate", "attn_q", {q, c.hidden_size}, c.attention_bias);
    const RowPart queries = {c.num_heads, 0, 2 * c.head_dim};
    const RowPart gates = {c.num_heads, c.head_dim, 2 * c.head_dim};
    table.pack(kQ, names.q, queries, "attn_q", queries);
    table.pack(kAttentionGate, names.q, gates, "attn_q", gates);
  }
  const int64_t groups = names.qkv_by_head ? c.num_kv_heads : 1;
  const std::string gguf_name = names.gguf_packs_qkv ? "attn_qkv" : "";
  const int64_t rows = q + 2 * kv;
  table.pack(kQ, names.qkv, {groups, 0, rows / groups}, gguf_name, {1, 0, rows});
  table.pack(kK, names.qkv, {groups, q / groups, rows / groups}, gguf_name, {1, q, rows});
  table.pack(kV, names.qkv, {groups, (q + kv) / groups, rows / groups}, gguf_name,
             {1, q + kv, rows});
}

/// Of the layers that have no experts.
void add_mlp(const ModelConfig& c, const DecoderNames& names, SpecTable table) {
  table.layers =
      layers_where(c, [&](int64_t i) { return c.experts.beside_mlp || !c.has_experts(i); });
  const int64_t inner = c.intermediate_size;
  add_feed_forward(c, {names.gate, names.up, names.down}, "ffn_{}", inner, c.mlp_bias, kGate,
                   table);
  const std::string gguf_name = names.gguf_packs_gates ? "ffn_up" : "";
  table.pack(kGate, names.gate_up, {1, 0, 2 * inner}, gguf_name, {1, 0, 2 * inner});
  table.pack(kUp, names.gate_up, {1, inner, 2 * inner}, gguf_name, {1, inner, 2 * inner});
}

/// Ends of the names of keys and values that published files have in layers that read others'.
void leave_unused_keys(const ModelConfig& c, TensorSpecs& specs) {
  for (int64_t i = c.num_layers - c.num_kv_shared_layers; i < c.num_layers; ++i) {
    for (size_t place : {kK, kKBias, kV, kVBias, kKNorm}) {
      std::string name = specs.layer[place].name;  // "model." may be another in files
      if (name.empty()) continue;
      name.replace(name.find("{}"), 2, std::to_string(i));
      specs.unneeded.push_back(name.substr(name.find('.') + 1));
    }
  }
}

}  // namespace

TensorSpecs decoder_tensors(const ModelConfig& c, const DecoderNames& names) {
  const int64_t hidden = c.hidden_size;
  const bool biased = c.norm == NormKind::layer;
  using enum Initialization;
  TensorSpecs specs;
  SpecTable outer{specs.outer, "", "", names.norm_offset};
  const bool projects = c.embedding_size != 0 && c.embedding_size != hidden;
  const int64_t embedding = projects ? c.embedding_size : hidden;
  outer.add(kEmbedding, true, names.embedding, "token_embd", {c.vocab_size, embedding}, normal);
  outer.add(kProjectIn, projects, names.project_in, "", {hidden, embedding}, normal);
  outer.add(kProjectOut, projects, names.project_out, "", {embedding, hidden}, normal);
  outer.add(kPositions, true, names.positions, "position_embd", {c.max_position_embeddings, hidden},
            normal);
  if (c.position_offset > 0) {
    TensorSpec& positions = specs.outer[kPositions];
    positions.packed_in = positions.name;
    positions.packed_rows = {1, c.position_offset, positions.shape[0] + c.position_offset};
  }
  outer.add(kBlockPositions, true, names.block_positions, "", {c.max_position_embeddings, hidden},
            normal);
  outer.add(kTokenTypes, c.num_token_types > 0, names.token_types, "token_types",
            {c.num_token_types, hidden}, normal);
  outer.add(kTaskTypes, c.num_task_types > 0, names.task_types, "", {c.num_task_types, hidden},
            normal);
  outer.norm(kEmbeddingNorm, names.embedding_norm, "token_embd_norm", hidden, biased);
  outer.norm(kFinalNorm, names.final_norm, "output_norm", hidden, biased);
  const bool classifies = c.head == HeadKind::labels;
  const int64_t outputs = classifies ? static_cast<int64_t>(c.labels.size()) : c.vocab_size;
  outer.add(kQueries, c.query_layer, names.queries, "", {c.max_position_embeddings, hidden},
            normal);
  outer
      .add(kHead, classifies || !c.tie_word_embeddings, names.head, names.gguf_head,
           {outputs, embedding}, normal)
      .unit_rows = c.unit_head;
  add_streams(c, names.head_streams, 1, kHeadStreams, outer);
  outer.add(kHeadBias, true, names.head_bias, names.gguf_head, {outputs}, zeros);
  outer.linear(kHeadDense, names.head_dense, names.gguf_head_dense, {hidden, hidden}, true);
  outer.norm(kHeadNorm, names.head_norm, "", hidden, biased);

  SpecTable layer{specs.layer, names.layer, "blk.{}.", names.norm_offset, names.transposed};
  layer.norm(kInputNorm, names.input_norm, names.gguf_input_norm, hidden, biased);
  if (c.latent.kv_rank > 0) {
    add_latent_attention(c, names.gguf_latents_as_published, kOwn, layer);
  } else {
    add_attention(c, names, layer);
    add_indexer(c, hidden, first_of_indexer(c), layer);
  }
  add_lightning_attention(c, first_linear(c), layer);
  add_delta_net(c, names.delta_net, first_linear(c), layer);
  layer.norm(kAttentionNorm, names.attention_norm, "post_attention_norm", hidden, false);
  layer.norm(kMlpNorm, names.mlp_norm, names.gguf_mlp_norm, hidden, biased);
  add_mlp(c, names, layer);
  add_streams(c, names.attention_streams, 2, kAttentionStreams, layer);
  add_streams(c, names.mlp_streams, 2, kMlpStreams, layer);
  layer.norm(kOutputNorm, names.output_norm, "post_ffw_norm", hidden, false);
  layer.norm(kMlpOwnNorm, names.mlp_own_norm, "post_ffw_norm_1", hidden, false);
  layer.norm(kExpertsNorm, names.experts_norm, "pre_ffw_norm_2", hidden, false);
  layer.norm(kExpertsOutputNorm, names.experts_output_norm, "post_ffw_norm_2", hidden, false);
  layer.norm(kLayerScale, names.layer_scale, "layer_output_scale", 1, false);
  if (!names.layer_scale.empty()) specs.layer[kLayerScale].name = names.layer + names.layer_scale;
  add_per_layer_inputs(c, kOuterOwn, outer, first_per_layer(c), layer);
  add_altup(c, kFirstAltUp, outer, first_altup(c), layer);
  add_experts(c, names.experts, first_expert(c), layer);
  leave_unused_keys(c, specs);
  return specs;
}

Value decoder_forward(Context& ctx, const Model& model) {
  const ModelConfig& config = model.config();
  Value x = ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens);
  if (config.embedding_scale != 1) x = ctx.scale(x, config.embedding_scale);
  if (const Parameter* project = model.outer(kProjectIn)) x = ctx.linear(x, *project);
  if (model.outer(kPositions)) {
    x = ctx.add(x, ctx.embed(*model.outer(kPositions), ctx.batch().text_positions));
  }
  if (model.outer(kBlockPositions)) {
    x = ctx.add(x, ctx.embed(*model.outer(kBlockPositions), ctx.batch().block_positions));
  }
  if (model.outer(kTokenTypes)) {
    x = ctx.add(x, ctx.embed(*model.outer(kTokenTypes), ctx.batch().token_types));
  }
  if (const Parameter* tasks = model.outer(kTaskTypes)) {
    const std::vector<int64_t> first(ctx.batch().tokens.size(), 0);
    x = ctx.add(x, ctx.gather_rows(ctx.embed(*tasks, kFirstTask), first));
  }
  x = norm(ctx, config, x, model.outer(kEmbeddingNorm), model.outer(kEmbeddingNormBias));
  Beside beside;
  beside.per_layer = per_layer_inputs(ctx, model, kOuterOwn, x);
  if (config.altup.streams > 0) x = altup_spread(ctx, model, kFirstAltUp, x);
  if (config.streams.count > 0) x = ctx.repeat_runs(x, config.streams.count);
  auto final_norm = [&](const Value& states) {
    return norm(ctx, config, states, model.outer(kFinalNorm), model.outer(kFinalNormBias));
  };
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (is_query_layer(config, i)) x = final_norm(x);
    x = next_state(ctx, LayerWeights{model, i}, x, beside);
  }
  if (config.altup.streams > 0) x = altup_merge(ctx, model, kFirstAltUp, x);
  if (config.streams.count > 0) x = last_of_streams(ctx, model, kHeadStreams, x);
  return config.query_layer ? x : final_norm(x);
}

Value decoder_head_input(Context& ctx, const Model& model, const Value& hidden) {
  const ModelConfig& config = model.config();
  if (config.head_input_scale != 1) return ctx.scale(hidden, config.head_input_scale);
  if (const Parameter* project = model.outer(kProjectOut)) return ctx.linear(hidden, *project);
  if (model.outer(kHeadDense) == nullptr) return hidden;
  const bool classifies = config.head == HeadKind::labels;
  Value x = ctx.linear(hidden, *model.outer(kHeadDense), model.outer(kHeadDenseBias));
  x = ctx.activate(x, classifies ? Activation::tanh : config.activation);
  return norm(ctx, config, x, model.outer(kHeadNorm), model.outer(kHeadNormBias));
}

Head decoder_head(const Model& model) {
  require(model.config().head != HeadKind::none, "this {} model has no head: it gives no logits",
          model.config().model_type);
  const Parameter* own = model.outer(kHead);
  const Parameter& weight = own ? *own : *model.outer(kEmbedding);
  // What is packed is packed at length 1.
  const bool unit_rows = model.config().unit_head && !weight.is_packed();
  return {weight, model.outer(kHeadBias), model.config().logit_softcap, unit_rows};
}

}  // namespace millrace
