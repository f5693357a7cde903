#include "millrace/model/per_layer_inputs.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace millrace {
namespace {

/// Places behind the first: outside of layers, and in one. None has a bias.
enum : size_t { kTable, kProjection, kProjectionBias, kProjectionNorm, kOuterPlaces };
static_assert(kOuterPlaces == kOuterPerLayerPlaces);
enum : size_t { kGate, kGateBias, kOut, kOutBias, kNorm, kPlaces };

float root(int64_t x) {
  return std::sqrt(static_cast<float>(x));
}

/// Rows of the table: tokens that it does not have, those of images, read that of token 0.
Value rows_of_table(Context& ctx, const Parameter& table) {
  const std::vector<int32_t>& ids = ctx.batch().tokens;
  const auto has = [&](int32_t id) { return id < table.shape[0]; };
  if (std::ranges::all_of(ids, has)) return ctx.embed(table, ids);
  std::vector<int32_t> known = ids;
  std::ranges::replace_if(known, std::not_fn(has), 0);
  return ctx.embed(table, known);
}

}  // namespace

Value per_layer_inputs(Context& ctx, const Model& model, size_t first, const Value& embeddings) {
  const ModelConfig& config = model.config();
  if (config.per_layer.size == 0) return {};
  const Value looked_up =
      ctx.scale(rows_of_table(ctx, *model.outer(first + kTable)), root(config.per_layer.size));
  Value projected = ctx.linear(embeddings, *model.outer(first + kProjection));
  projected = ctx.rms_norm(ctx.scale(projected, 1 / root(config.hidden_size)),
                           *model.outer(first + kProjectionNorm), config.norm_eps);
  return ctx.scale(ctx.add(projected, looked_up), 1 / root(2));
}

Value per_layer_addition(Context& ctx, const LayerWeights& weights, size_t first, const Value& x,
                         const Value& all) {
  const ModelConfig& config = weights.model.config();
  const int64_t size = config.per_layer.size, begin = weights.index * size;
  const Value own = ctx.columns(all, begin, begin + size);
  const Value gate = ctx.linear(x, weights.at(first + kGate));
  const Value y = ctx.linear(ctx.glu(config.activation, gate, own), weights.at(first + kOut));
  return ctx.rms_norm(y, weights.at(first + kNorm), config.norm_eps);
}

void add_per_layer_inputs(const ModelConfig& config, size_t first_outer, SpecTable outer,
                          size_t first, SpecTable layer) {
  const int64_t size = config.per_layer.size, hidden = config.hidden_size;
  const int64_t all = config.num_layers * size;
  if (size == 0) return;
  outer.prefix = "model.";
  outer.add(first_outer + kTable, true, "embed_tokens_per_layer", "per_layer_token_embd",
            {config.per_layer.vocab_size, all}, Initialization::normal);
  outer.linear(first_outer + kProjection, "per_layer_model_projection", "per_layer_model_proj",
               {all, hidden}, false);
  outer.norm(first_outer + kProjectionNorm, "per_layer_projection_norm", "per_layer_proj_norm",
             size, false);
  layer.linear(first + kGate, "per_layer_input_gate", "inp_gate", {size, hidden}, false);
  layer.linear(first + kOut, "per_layer_projection", "proj", {hidden, size}, false,
               Initialization::normal_residual);
  layer.norm(first + kNorm, "post_per_layer_input_norm", "post_norm", hidden, false);
}

size_t per_layer_places(const ModelConfig& config) {
  return config.per_layer.size == 0 ? size_t{0} : size_t{kPlaces};
}

}  // namespace millrace
