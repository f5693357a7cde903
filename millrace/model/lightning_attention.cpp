#include "millrace/model/lightning_attention.h"

namespace millrace {
namespace {

/// Places behind the first. No model has biases.
enum : size_t { kQ, kQBias, kK, kKBias, kV, kVBias, kGate, kGateBias, kNorm, kO, kOBias, kPlaces };

/// Of the norm of outputs, whatever that of others is.
constexpr float kNormEps = 1e-6f;

}  // namespace

Value lightning_attention(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  const ModelConfig& config = weights.model.config();
  auto [q, k, v, gate] =
      ctx.linears<4>(h, {weights.linear(first + kQ), weights.linear(first + kK),
                         weights.linear(first + kV), weights.linear(first + kGate)});
  for (Value* x : {&q, &k, &v}) *x = ctx.activate(*x, config.activation);
  Value seen = ctx.linear_attention(config.attention_index(weights.index), q, k, v,
                                    config.lightning_shape(weights.index));
  seen = ctx.rms_norm(seen, weights.at(first + kNorm), kNormEps);
  return ctx.linear(ctx.glu(Activation::sigmoid, gate, seen), weights.at(first + kO));
}

void add_lightning_attention(const ModelConfig& config, size_t first, SpecTable table) {
  if (lightning_attention_places(config) == 0) return;
  table.layers = config.linear_layers;
  const int64_t heads = config.num_heads, dim = config.head_dim, hidden = config.hidden_size;
  const int64_t width = heads * dim;
  const std::string packed = "self_attn.qkv_proj";
  for (const auto& [place, name, at] : {std::tuple(size_t{kQ}, "self_attn.q_proj", int64_t{0}),
                                        std::tuple(size_t{kK}, "self_attn.k_proj", dim),
                                        std::tuple(size_t{kV}, "self_attn.v_proj", 2 * dim)}) {
    table.linear(first + place, name, "", {width, hidden}, false);
    table.pack(first + place, packed, {heads, at, 3 * dim}, "", {});
  }
  table.linear(first + kGate, "self_attn.output_gate", "", {width, hidden}, false);
  table.norm(first + kNorm, "self_attn.norm", "", width, false);
  table.linear(first + kO, "self_attn.out_proj", "", {hidden, width}, false,
               Initialization::normal_residual);
}

size_t lightning_attention_places(const ModelConfig& config) {
  const bool has = !config.linear_layers.empty() && config.delta_net.key_heads == 0;
  return has ? size_t{kPlaces} : size_t{0};
}

}  // namespace millrace
