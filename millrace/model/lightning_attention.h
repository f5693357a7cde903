// Lightning attention (Qin et al. 2024; MiniMax 2025): what was said is kept in a state of each
// head that decays, in the place of keys and values.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// The attention of h [tokens, hidden] in a layer that has it: its output is normed, and gated by
/// h.
Value lightning_attention(Context& ctx, const LayerWeights& weights, size_t first, const Value& h);

/// Adds the tensors of the layers that have it to the table, from place `first` on.
void add_lightning_attention(const ModelConfig& config, size_t first, SpecTable table);

/// How many places those are.
size_t lightning_attention_places(const ModelConfig& config);

}  // namespace millrace
