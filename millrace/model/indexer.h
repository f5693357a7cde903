// Indexers (DeepSeek-AI 2025, DeepSeek-V3.2; MiniMax 2026, M3): small attention that chooses which
// keys of a long context a layer's attention sees.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// The keys that a layer's attention sees, of h [tokens, hidden]: chosen by its own indexer, whose
/// queries are projections of `from`, or those of the last layer that has one. All where the layer
/// has nothing to do with one.
KeySelection chosen_keys(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
                         const Value& from);

/// Adds the tensors of the layers that have one to the table, from place `first` on. Queries are
/// projections of vectors of `from` values.
void add_indexer(const ModelConfig& config, int64_t from, size_t first, SpecTable table);

/// How many places those are.
size_t indexer_places(const ModelConfig& config);

}  // namespace millrace
