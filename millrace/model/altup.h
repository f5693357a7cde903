// Alternating updates (Baykal et al. 2023), as Gemma 3n has them: the state is several streams of
// the hidden size, side by side in a row, of which a layer computes with one.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// Streams [tokens, streams · hidden] of the embeddings: they, and projections of their magnitude.
/// `first` is the place of the first of the tensors outside the layers.
Value altup_spread(Context& ctx, const Model& model, size_t first, const Value& embeddings);
/// The mean of the streams, all but the first projected to its magnitude.
Value altup_merge(Context& ctx, const Model& model, size_t first, const Value& streams);

/// What a layer's streams will be, by mixing those it is given. From place `first` of the layer on.
Value altup_predict(Context& ctx, const LayerWeights& weights, size_t first, const Value& streams);
/// The predictions with what the layer made of the active one, y, which shows how far off they are.
Value altup_correct(Context& ctx, const LayerWeights& weights, size_t first,
                    const Value& predictions, const Value& y);
/// The i-th of the streams.
Value altup_stream(Context& ctx, const ModelConfig& config, const Value& streams, int64_t i);
/// The active one as the per-layer input reads it.
Value altup_scaled(Context& ctx, const LayerWeights& weights, size_t first, const Value& streams);
/// The streams with `addition` added to all but the first.
Value altup_add(Context& ctx, const ModelConfig& config, const Value& streams,
                const Value& addition);

/// LAuReL (Menghani et al. 2024): h + norm(R · L · h), a learned residual of low rank.
Value laurel(Context& ctx, const LayerWeights& weights, size_t first, const Value& h);

/// Adds the tensors of all to the tables where the model has them.
void add_altup(const ModelConfig& config, size_t first_outer, SpecTable outer, size_t first,
               SpecTable layer);

/// How many places of a layer those are.
size_t altup_places(const ModelConfig& config);

}  // namespace millrace
