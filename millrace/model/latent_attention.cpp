#include "millrace/model/latent_attention.h"

#include <cmath>

#include "millrace/model/indexer.h"

namespace millrace {
namespace {

/// Places behind the first.
enum : size_t {
  kQDown,
  kQDownBias,
  kQDownNorm,
  kQ,  // the rows of all heads that have no position
  kQBias,
  kQRope,  // and those that rope turns
  kQRopeBias,
  kLatent,
  kLatentBias,
  kLatentNorm,
  kKRope,
  kKRopeBias,
  kSinks,
  kGate,
  kO,
  kOBias,
  kHead  // and on: the projections of each head
};
enum : size_t { kKey, kValue, kHeadPlaces };

/// Of the norms of latents, whatever that of others is.
constexpr float kNormEps = 1e-6f;

size_t head_place(size_t first, int64_t head) {
  return first + kHead + static_cast<size_t>(head) * kHeadPlaces;
}

/// Where the tensors of an indexer begin.
size_t first_of_indexer(const ModelConfig& config, size_t first) {
  return head_place(first, config.num_heads);
}

/// What scores are multiplied by where YaRN scales rope.
double score_factor(const RopeParameters& rope) {
  if (rope.scaling == RopeScaling::none || rope.mscale_all_dim == 0 || rope.factor <= 1) return 1;
  const double factor = 0.1 * rope.mscale_all_dim * std::log(rope.factor) + 1;
  return factor * factor;
}

/// Of the part of a head that has a position.
Rotation shared_rotation(const Context& ctx, const LayerWeights& weights) {
  Rotation how = weights.model.rotation(ctx.batch(), weights.index);
  how.head_dim = weights.model.config().latent.rope_dim;
  return how;
}

/// What queries are projections of.
Value queries_from(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  if (weights.model.config().latent.q_rank == 0) return h;
  const Value down = ctx.linear(h, weights.at(first + kQDown), weights.find(first + kQDownBias));
  return ctx.rms_norm(down, weights.at(first + kQDownNorm), kNormEps);
}

/// That part of queries or of the shared key, turned where the model has rope.
Value turned_part(Context& ctx, const LayerWeights& weights, const Value& x) {
  if (weights.model.config().rope.rotary_dim == 0) return x;
  return ctx.rope(x, shared_rotation(ctx, weights));
}

/// The heads' queries beside each other, each as its product with a latent vector's key, then the
/// part with a position.
Value queries(Context& ctx, const LayerWeights& weights, size_t first, const Value& from) {
  const ModelConfig& config = weights.model.config();
  const LatentConfig& c = config.latent;
  auto [q, turned] =
      ctx.linears<2>(from, {weights.linear(first + kQ), weights.linear(first + kQRope)});
  turned = turned_part(ctx, weights, turned);
  Value all = ctx.zeros(from.rows(), config.num_heads * config.head_dim);
  for (int64_t i = 0; i < config.num_heads; ++i) {
    const Parameter& key = weights.at(head_place(first, i) + kKey);
    const Value head = ctx.columns(q, i * c.key_dim, (i + 1) * c.key_dim);
    all = ctx.with_columns(all, i * config.head_dim, ctx.linear(head, key));
    all = ctx.with_columns(all, i * config.head_dim + c.kv_rank,
                           ctx.columns(turned, i * c.rope_dim, (i + 1) * c.rope_dim));
  }
  return all;
}

/// The latent vectors, then the part of the keys that has a position.
Value latents(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  const ModelConfig& config = weights.model.config();
  const LatentConfig& c = config.latent;
  auto [latent, turned] =
      ctx.linears<2>(h, {weights.linear(first + kLatent), weights.linear(first + kKRope)});
  latent = ctx.rms_norm(latent, weights.at(first + kLatentNorm), kNormEps);
  turned = turned_part(ctx, weights, turned);
  Value all = ctx.with_columns(ctx.zeros(h.rows(), config.head_dim), 0, latent);
  return ctx.with_columns(all, c.kv_rank, turned);
}

}  // namespace

void set_latent_options(ModelConfig& config) {
  const LatentConfig& c = config.latent;
  config.num_kv_heads = 1;
  config.head_dim = c.kv_rank + c.rope_dim;
  config.rope.rotary_dim = c.rope_dim;
  const auto width = static_cast<double>(c.key_dim + c.rope_dim);
  config.attention_scale = static_cast<float>(score_factor(config.rope) / std::sqrt(width));
}

Value latent_attention(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  const ModelConfig& config = weights.model.config();
  const LatentConfig& c = config.latent;
  const Value from = queries_from(ctx, weights, first, h);
  const Value q = queries(ctx, weights, first, from), k = latents(ctx, weights, first, h);
  const AttentionExtras extras = {
      .sinks = weights.find(first + kSinks),
      .selection = chosen_keys(ctx, weights, first_of_indexer(config, first), h, from)};
  // The latent vectors are the values too; the columns behind them are not looked at.
  const Value seen = ctx.attention(config.attention_index(weights.index), q, k, k,
                                   config.attention_shape(weights.index), extras);
  Value values = ctx.zeros(h.rows(), config.num_heads * c.value_dim);
  for (int64_t i = 0; i < config.num_heads; ++i) {
    const int64_t begin = i * config.head_dim;
    const Value head = ctx.linear(ctx.columns(seen, begin, begin + c.kv_rank),
                                  weights.at(head_place(first, i) + kValue));
    values = ctx.with_columns(values, i * c.value_dim, head);
  }
  if (const Parameter* gate = weights.find(first + kGate)) {
    values = ctx.glu(Activation::sigmoid, ctx.linear(h, *gate), values);
  }
  return ctx.linear(values, weights.at(first + kO), weights.find(first + kOBias));
}

void add_latent_attention(const ModelConfig& config, bool gguf_as_published, size_t first,
                          SpecTable table) {
  table.layers = config.linear_layers;
  table.layers.flip();
  const LatentConfig& c = config.latent;
  const int64_t heads = config.num_heads, hidden = config.hidden_size;
  const bool biased = config.attention_bias, down = c.q_rank > 0;
  const int64_t q_in = down ? c.q_rank : hidden, q_rows = c.key_dim + c.rope_dim;
  const std::string q = down ? "self_attn.q_b_proj" : "self_attn.q_proj";
  const std::string gguf_q = down ? "attn_q_b" : "attn_q";
  table.linear(first + kQDown, down ? "self_attn.q_a_proj" : "", "attn_q_a", {c.q_rank, hidden},
               biased);
  table.norm(first + kQDownNorm, down ? "self_attn.q_a_layernorm" : "", "attn_q_a_norm", c.q_rank,
             false);
  table.linear(first + kQ, q, gguf_q, {heads * c.key_dim, q_in}, false);
  table.linear(first + kQRope, q + ".rope", gguf_q, {heads * c.rope_dim, q_in}, false);
  table.pack(first + kQ, q, {heads, 0, q_rows}, gguf_q, {heads, 0, q_rows});
  table.pack(first + kQRope, q, {heads, c.key_dim, q_rows}, gguf_q, {heads, c.key_dim, q_rows});

  const std::string kv = "self_attn.kv_a_proj_with_mqa", gguf_kv = "attn_kv_a_mqa";
  table.linear(first + kLatent, kv, gguf_kv, {c.kv_rank, hidden}, biased);
  table.linear(first + kKRope, kv + ".rope", gguf_kv, {c.rope_dim, hidden}, biased);
  const int64_t kv_rows = c.kv_rank + c.rope_dim;
  table.pack(first + kLatent, kv, {1, 0, kv_rows}, gguf_kv, {1, 0, kv_rows});
  table.pack(first + kKRope, kv, {1, c.kv_rank, kv_rows}, gguf_kv, {1, c.kv_rank, kv_rows});
  if (config.rope_pairing == RopePairing::half_split && !gguf_as_published) {
    table.specs[first + kQRope].interleaved_heads = heads;
    table.specs[first + kKRope].interleaved_heads =
        table.specs[first + kKRopeBias].interleaved_heads = 1;
  }
  table.norm(first + kLatentNorm, "self_attn.kv_a_layernorm", "attn_kv_a_norm", c.kv_rank, false);
  table.linear(first + kO, "self_attn.o_proj", "attn_output", {hidden, heads * c.value_dim}, biased,
               Initialization::normal_residual);

  table.add(first + kGate, c.gated, "self_attn.linear_gate", "", {heads * c.value_dim, hidden},
            Initialization::normal);
  const std::string sinks = "self_attn.learnable_sink_param";
  table.add(first + kSinks, c.sinks, sinks, "", {heads}, Initialization::zeros).name =
      c.sinks ? table.prefix + sinks : "";

  const std::string up = "self_attn.kv_b_proj";
  const int64_t rows = c.key_dim + c.value_dim;
  for (int64_t i = 0; i < heads; ++i) {
    const size_t place = head_place(first, i);
    const std::string head = fmt::format("{}.{}.", up, i);
    TensorSpec& key = table.add(place + kKey, true, head + "key", "attn_k_b",
                                {c.kv_rank, c.key_dim}, Initialization::normal);
    key.packed_rows = {1, i * rows, heads * rows, 0, 0, true};
    TensorSpec& value = table.add(place + kValue, true, head + "value", "attn_v_b",
                                  {c.value_dim, c.kv_rank}, Initialization::normal);
    value.packed_rows = {1, i * rows + c.key_dim, heads * rows};
    for (size_t part : {place + kKey, place + kValue}) {
      TensorSpec& spec = table.specs[part];
      spec.packed_in = table.prefix + up + ".weight";
      spec.gguf_rows = {1, 0, 0, i, heads};
      if (!gguf_as_published) continue;
      spec.gguf_name = table.gguf_prefix + "attn_kv_b.weight";
      spec.gguf_rows = spec.packed_rows;
    }
  }
  add_indexer(config, q_in, first_of_indexer(config, first), table);
}

size_t latent_attention_places(const ModelConfig& config) {
  if (config.latent.kv_rank == 0) return 0;
  return first_of_indexer(config, 0) + indexer_places(config);
}

}  // namespace millrace
