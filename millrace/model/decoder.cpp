#include "millrace/model/decoder.h"

#include "millrace/model/feed_forward.h"
#include "millrace/model/indexer.h"
#include "millrace/model/latent_attention.h"
#include "millrace/model/lightning_attention.h"

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
  if (!is_query_layer(model.config(), weights.index)) {
    return ctx.linears<3>(h, {weights.linear(kQ), weights.linear(kK), weights.linear(kV)});
  }
  const Value expected = ctx.embed(*model.outer(kQueries), ctx.batch().positions);
  auto [k, v] = ctx.linears<2>(h, {weights.linear(kK), weights.linear(kV)});
  return {ctx.linear(expected, weights.at(kQ), weights.find(kQBias)), k, v};
}

/// Where the tensors of an indexer begin, but for that of latent attention.
size_t first_of_indexer(const ModelConfig& config) {
  return kOwn + lightning_attention_places(config);
}

Value attention(Context& ctx, const LayerWeights& weights, const Value& h) {
  const ModelConfig& config = weights.model.config();
  if (config.latent.kv_rank > 0) return latent_attention(ctx, weights, kOwn, h);
  if (config.is_lightning(weights.index)) return lightning_attention(ctx, weights, kOwn, h);
  auto [q, k, v] = queries_keys_values(ctx, weights, h);
  q = prepared(ctx, weights, q, kQNorm);
  k = prepared(ctx, weights, k, kKNorm);
  if (config.query_growth.beta != 0) q = ctx.grow(q, config.query_growth);
  const AttentionExtras extras = {
      .sinks = weights.find(kSinks),
      .selection = chosen_keys(ctx, weights, first_of_indexer(config), h, h)};
  Value seen = ctx.attention(config.attention_index(weights.index), q, k, v,
                             config.attention_shape(weights.index), extras);
  if (const Parameter* gate = weights.find(kHeadGate)) {
    seen = ctx.weigh_runs(seen, ctx.activate(ctx.linear(h, *gate), Activation::sigmoid));
  }
  return ctx.linear(seen, weights.at(kO), weights.find(kOBias));
}

/// Where the tensors of experts begin.
size_t first_expert(const ModelConfig& config) {
  if (config.latent.kv_rank > 0) return kOwn + latent_attention_places(config);
  return first_of_indexer(config) + indexer_places(config);
}

Value mlp(Context& ctx, const LayerWeights& weights, const Value& h) {
  const ModelConfig& config = weights.model.config();
  if (config.has_experts(weights.index)) return experts(ctx, weights, first_expert(config), h);
  return feed_forward(ctx, weights, kGate, h);
}

Value sum(Context& ctx, const ResidualFactors& factors, const Value& residual,
          const Value& output) {
  auto times = [&](const Value& x, float factor) { return factor == 1 ? x : ctx.scale(x, factor); };
  return ctx.add(times(residual, factors.residual), times(output, factors.output));
}

Value layer(Context& ctx, const LayerWeights& weights, const Value& x) {
  const ModelConfig& config = weights.model.config();
  if (config.norm_behind_residual) {
    Value y = norm(ctx, config, ctx.add(x, attention(ctx, weights, x)), weights.find(kInputNorm),
                   weights.find(kInputNormBias));
    return norm(ctx, config, ctx.add(y, mlp(ctx, weights, y)), weights.find(kMlpNorm),
                weights.find(kMlpNormBias));
  }
  Value h = norm(ctx, config, x, weights.find(kInputNorm), weights.find(kInputNormBias));
  Value seen = norm(ctx, config, attention(ctx, weights, h), weights.find(kAttentionNorm));
  const ResidualFactors& factors =
      config.is_lightning(weights.index) ? config.lightning_residual : config.attention_residual;
  Value y = sum(ctx, factors, config.normed_residual ? h : x, seen);
  const Value& read = config.parallel_residual ? x : y;
  if (weights.find(kMlpNorm)) {
    h = norm(ctx, config, read, weights.find(kMlpNorm), weights.find(kMlpNormBias));
  }
  return sum(ctx, config.mlp_residual, config.normed_residual ? h : y,
             norm(ctx, config, mlp(ctx, weights, h), weights.find(kOutputNorm)));
}

/// Of the layers that have no lightning attention.
void add_attention(const ModelConfig& c, const DecoderNames& names, SpecTable table) {
  table.layers = c.lightning;
  table.layers.flip();
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  table.linear(kQ, names.q, "attn_q", {q, c.hidden_size}, c.attention_bias);
  table.linear(kK, names.k, "attn_k", {kv, c.hidden_size}, c.attention_bias);
  table.linear(kV, names.v, "attn_v", {kv, c.hidden_size}, c.attention_bias);
  table.linear(kO, names.o, "attn_output", {c.hidden_size, q}, c.attention_output_bias,
               Initialization::normal_residual);
  TensorSpec& sinks =
      table.add(kSinks, true, names.sinks, "attn_sinks", {c.num_heads}, Initialization::normal);
  if (sinks.shape.rank() > 0) sinks.name = table.prefix + names.sinks;
  table.linear(kHeadGate, names.head_gate, "attn_gate", {c.num_heads, c.hidden_size}, false);
  const bool all = names.norms_all_heads;
  table.norm(kQNorm, names.q_norm, "attn_q_norm", all ? q : c.head_dim, false);
  table.norm(kKNorm, names.k_norm, "attn_k_norm", all ? kv : c.head_dim, false);
  if (names.gguf_interleaves) {
    for (size_t place : {kQ, kQBias}) table.specs[place].interleaved_heads = c.num_heads;
    for (size_t place : {kK, kKBias}) table.specs[place].interleaved_heads = c.num_kv_heads;
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
  for (int64_t i = 0; i < c.num_layers; ++i) table.layers.push_back(!c.has_experts(i));
  const int64_t inner = c.intermediate_size;
  add_feed_forward(c, {names.gate, names.up, names.down}, "ffn_{}", inner, c.mlp_bias, kGate,
                   table);
  const std::string gguf_name = names.gguf_packs_gates ? "ffn_up" : "";
  table.pack(kGate, names.gate_up, {1, 0, 2 * inner}, gguf_name, {1, 0, 2 * inner});
  table.pack(kUp, names.gate_up, {1, inner, 2 * inner}, gguf_name, {1, inner, 2 * inner});
}

}  // namespace

TensorSpecs decoder_tensors(const ModelConfig& c, const DecoderNames& names) {
  const int64_t hidden = c.hidden_size;
  const bool biased = c.norm == NormKind::layer;
  using enum Initialization;
  TensorSpecs specs;
  SpecTable outer{specs.outer, "", "", names.norm_offset};
  outer.add(kEmbedding, true, names.embedding, "token_embd", {c.vocab_size, hidden}, normal);
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
           {outputs, hidden}, normal)
      .unit_rows = c.unit_head;
  outer.add(kHeadBias, true, names.head_bias, names.gguf_head, {outputs}, zeros);
  outer.linear(kHeadDense, names.head_dense, names.gguf_head_dense, {hidden, hidden}, true);
  outer.norm(kHeadNorm, names.head_norm, "", hidden, biased);

  SpecTable layer{specs.layer, names.layer, "blk.{}.", names.norm_offset, names.transposed};
  layer.norm(kInputNorm, names.input_norm, names.gguf_input_norm, hidden, biased);
  if (c.latent.kv_rank > 0) {
    add_latent_attention(c, names.gguf_latents_as_published, kOwn, layer);
  } else {
    add_attention(c, names, layer);
    add_lightning_attention(c, kOwn, layer);
    add_indexer(c, hidden, first_of_indexer(c), layer);
  }
  layer.norm(kAttentionNorm, names.attention_norm, "post_attention_norm", hidden, false);
  layer.norm(kMlpNorm, names.mlp_norm, names.gguf_mlp_norm, hidden, biased);
  add_mlp(c, names, layer);
  layer.norm(kOutputNorm, names.output_norm, "post_ffw_norm", hidden, false);
  add_experts(c, names.experts, first_expert(c), layer);
  return specs;
}

Value decoder_forward(Context& ctx, const Model& model) {
  const ModelConfig& config = model.config();
  Value x = ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens);
  if (config.embedding_scale != 1) x = ctx.scale(x, config.embedding_scale);
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
  auto final_norm = [&](const Value& states) {
    return norm(ctx, config, states, model.outer(kFinalNorm), model.outer(kFinalNormBias));
  };
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (is_query_layer(config, i)) x = final_norm(x);
    x = ctx.block(x, [&model, i](Context& c, const Value& h) {
      return layer(c, LayerWeights{model, i}, h);
    });
  }
  return config.query_layer ? x : final_norm(x);
}

Value decoder_head_input(Context& ctx, const Model& model, const Value& hidden) {
  const ModelConfig& config = model.config();
  if (config.head_input_scale != 1) return ctx.scale(hidden, config.head_input_scale);
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
