#include "millrace/model/decoder.h"

namespace millrace {
namespace {

using namespace decoder;

/// The weights of one layer.
struct LayerWeights {
  const Model& model;
  int64_t index;

  const Parameter* find(Layer tensor) const { return model.layer(index, tensor); }
  const Parameter& at(Layer tensor) const { return *find(tensor); }
  /// A weight and the bias that follows it.
  Context::Linear linear(Layer tensor) const {
    return {at(tensor), find(static_cast<Layer>(tensor + 1))};
  }
};

Value norm(Context& ctx, const ModelConfig& config, const Value& x, const Parameter* weight,
           const Parameter* bias = nullptr) {
  if (weight == nullptr) return x;
  return config.norm == NormKind::rms ? ctx.rms_norm(x, *weight, config.norm_eps)
                                      : ctx.layer_norm(x, *weight, bias, config.norm_eps);
}

/// Queries or keys, normed head by head and turned.
Value prepared(Context& ctx, const LayerWeights& weights, Value x, Layer head_norm) {
  const ModelConfig& config = weights.model.config();
  auto turn = [&] {
    if (config.rope.rotary_dim == 0) return;
    x = ctx.rope(x, weights.model.rope_table(ctx.batch(), weights.index), config.head_dim,
                 config.rope_pairing);
  };
  if (config.head_norms_after_rope) turn();
  x = norm(ctx, config, x, weights.find(head_norm));
  if (!config.head_norms_after_rope) turn();
  return x;
}

Value attention(Context& ctx, const LayerWeights& weights, const Value& h) {
  auto [q, k, v] = ctx.linears<3>(h, {weights.linear(kQ), weights.linear(kK), weights.linear(kV)});
  q = prepared(ctx, weights, q, kQNorm);
  k = prepared(ctx, weights, k, kKNorm);
  Value seen =
      ctx.attention(weights.index, q, k, v, weights.model.config().attention_shape(weights.index));
  return ctx.linear(seen, weights.at(kO), weights.find(kOBias));
}

Value mlp(Context& ctx, const LayerWeights& weights, const Value& h) {
  const Activation activation = weights.model.config().activation;
  Value inner;
  if (weights.find(kGate)) {
    auto [gate, up] = ctx.linears<2>(h, {weights.linear(kGate), weights.linear(kUp)});
    inner = ctx.glu(activation, gate, up);
  } else {
    inner = ctx.activate(ctx.linear(h, weights.at(kUp), weights.find(kUpBias)), activation);
  }
  return ctx.linear(inner, weights.at(kDown), weights.find(kDownBias));
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
  Value y = ctx.add(x, seen);
  const Value& read = config.parallel_residual ? x : y;
  if (weights.find(kMlpNorm)) {
    h = norm(ctx, config, read, weights.find(kMlpNorm), weights.find(kMlpNormBias));
  }
  return ctx.add(y, norm(ctx, config, mlp(ctx, weights, h), weights.find(kOutputNorm)));
}

/// Fills a table of specs: each tensor has its place, its names and its shape, which is none where
/// the tensor is not wanted.
struct Table {
  std::vector<TensorSpec>& specs;
  std::string prefix, gguf_prefix;
  float norm_offset = 0;
  bool transposed = false;

  TensorSpec& add(size_t place, bool wanted, const std::string& name, const std::string& gguf_name,
                  Shape shape, Initialization initialization) {
    if (specs.size() <= place) specs.resize(place + 1);
    TensorSpec& spec = specs[place];
    if (!wanted || name.empty()) return spec;
    const std::string end =
        shape.rank() == 1 && initialization == Initialization::zeros ? ".bias" : ".weight";
    spec.name = prefix + name + end;
    spec.gguf_name = gguf_prefix + gguf_name + end;
    spec.shape = shape;
    spec.initialization = initialization;
    if (initialization == Initialization::ones) spec.offset = norm_offset;
    spec.transposed = transposed && shape.rank() == 2;
    return spec;
  }
  /// A norm's weight, and the bias that layer norms have.
  void norm(size_t place, const std::string& name, const std::string& gguf_name, int64_t width,
            bool biased) {
    add(place, true, name, gguf_name, {width}, Initialization::ones);
    if (biased) add(place + 1, true, name, gguf_name, {width}, Initialization::zeros);
  }
  /// A matrix and its bias.
  void linear(size_t place, const std::string& name, const std::string& gguf_name, Shape shape,
              bool biased, Initialization initialization = Initialization::normal) {
    add(place, true, name, gguf_name, shape, initialization);
    add(place + 1, biased, name, gguf_name, {shape[0]}, Initialization::zeros);
  }
  /// A matrix and its bias are rows of others in files.
  void pack(size_t place, const std::string& packed_in, RowPart rows, const std::string& gguf_name,
            RowPart gguf_rows) {
    for (TensorSpec* spec : {&specs[place], &specs[place + 1]}) {
      if (spec->shape.rank() == 0) continue;
      const std::string end = spec->name.substr(spec->name.rfind('.'));
      if (!packed_in.empty()) {
        spec->packed_in = prefix + packed_in + end;
        spec->packed_rows = rows;
      }
      if (!gguf_name.empty()) {
        spec->gguf_name = gguf_prefix + gguf_name + end;
        spec->gguf_rows = gguf_rows;
      }
    }
  }
};

void add_attention(const ModelConfig& c, const DecoderNames& names, Table& table) {
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  table.linear(kQ, names.q, "attn_q", {q, c.hidden_size}, c.attention_bias);
  table.linear(kK, names.k, "attn_k", {kv, c.hidden_size}, c.attention_bias);
  table.linear(kV, names.v, "attn_v", {kv, c.hidden_size}, c.attention_bias);
  table.linear(kO, names.o, "attn_output", {c.hidden_size, q}, c.attention_output_bias,
               Initialization::normal_residual);
  table.norm(kQNorm, names.q_norm, "attn_q_norm", c.head_dim, false);
  table.norm(kKNorm, names.k_norm, "attn_k_norm", c.head_dim, false);
  if (names.gguf_interleaves) {
    for (size_t place : {kQ, kQBias}) table.specs[place].interleaved_heads = c.num_heads;
    for (size_t place : {kK, kKBias}) table.specs[place].interleaved_heads = c.num_kv_heads;
  }
  const int64_t groups = names.qkv_by_head ? c.num_kv_heads : 1;
  const std::string gguf_name = names.gguf_packs_qkv ? "attn_qkv" : "";
  const int64_t all = q + 2 * kv;
  table.pack(kQ, names.qkv, {groups, 0, all / groups}, gguf_name, {1, 0, all});
  table.pack(kK, names.qkv, {groups, q / groups, all / groups}, gguf_name, {1, q, all});
  table.pack(kV, names.qkv, {groups, (q + kv) / groups, all / groups}, gguf_name, {1, q + kv, all});
}

void add_mlp(const ModelConfig& c, const DecoderNames& names, Table& table) {
  const int64_t inner = c.intermediate_size;
  table.linear(kGate, names.gate, "ffn_gate", {inner, c.hidden_size},
               c.mlp_bias && !names.gate.empty());
  table.linear(kUp, names.up, "ffn_up", {inner, c.hidden_size}, c.mlp_bias);
  table.linear(kDown, names.down, "ffn_down", {c.hidden_size, inner}, c.mlp_bias,
               Initialization::normal_residual);
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
  Table outer{specs.outer, "", "", names.norm_offset};
  outer.add(kEmbedding, true, names.embedding, "token_embd", {c.vocab_size, hidden}, normal);
  outer.add(kPositions, true, names.positions, "position_embd", {c.max_position_embeddings, hidden},
            normal);
  outer.norm(kEmbeddingNorm, names.embedding_norm, "token_embd_norm", hidden, biased);
  outer.norm(kFinalNorm, names.final_norm, "output_norm", hidden, biased);
  outer.add(kHead, !c.tie_word_embeddings, names.head, "output", {c.vocab_size, hidden}, normal);
  outer.add(kHeadBias, names.head_bias, names.head, "output", {c.vocab_size}, zeros);

  Table layer{specs.layer, names.layer, "blk.{}.", names.norm_offset, names.transposed};
  layer.norm(kInputNorm, names.input_norm, "attn_norm", hidden, biased);
  add_attention(c, names, layer);
  layer.norm(kAttentionNorm, names.attention_norm, "post_attention_norm", hidden, false);
  layer.norm(kMlpNorm, names.mlp_norm, names.gguf_mlp_norm, hidden, biased);
  add_mlp(c, names, layer);
  layer.norm(kOutputNorm, names.output_norm, "post_ffw_norm", hidden, false);
  return specs;
}

Value decoder_forward(Context& ctx, const Model& model) {
  const ModelConfig& config = model.config();
  Value x = ctx.embed(*model.outer(kEmbedding), ctx.batch().tokens);
  if (config.embedding_scale != 1) x = ctx.scale(x, config.embedding_scale);
  if (model.outer(kPositions)) {
    x = ctx.add(x, ctx.embed(*model.outer(kPositions), ctx.batch().positions));
  }
  x = norm(ctx, config, x, model.outer(kEmbeddingNorm), model.outer(kEmbeddingNormBias));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    x = ctx.block(x, [&model, i](Context& c, const Value& h) {
      return layer(c, LayerWeights{model, i}, h);
    });
  }
  return norm(ctx, config, x, model.outer(kFinalNorm), model.outer(kFinalNormBias));
}

Head decoder_head(const Model& model) {
  const Parameter* own = model.outer(kHead);
  return {own ? *own : *model.outer(kEmbedding), model.outer(kHeadBias),
          model.config().logit_softcap};
}

}  // namespace millrace
