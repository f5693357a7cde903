// Per-layer inputs (Gemma 3n, Gemma 4): beside the state a layer reads a short vector of the token
// that is its own, from a table of all layers' and a projection of the token's embedding.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// Those of all layers [tokens, num_layers · size], of the scaled embeddings [tokens, hidden], from
/// place `first` of the tensors outside the layers on; empty where the model has none.
Value per_layer_inputs(Context& ctx, const Model& model, size_t first, const Value& embeddings);

/// What a layer makes of its own for the state x, to be added: norm(W · (activation(G · x) · own)).
/// From place `first` of the layer's tensors on.
Value per_layer_addition(Context& ctx, const LayerWeights& weights, size_t first, const Value& x,
                         const Value& all);

/// Adds the tensors of both to the tables where the model has them.
void add_per_layer_inputs(const ModelConfig& config, size_t first_outer, SpecTable outer,
                          size_t first, SpecTable layer);

/// How many places those are, outside of layers and in one.
inline constexpr size_t kOuterPerLayerPlaces = 4;
size_t per_layer_places(const ModelConfig& config);

}  // namespace millrace
