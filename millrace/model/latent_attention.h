// Multi-head latent attention (DeepSeek-AI 2024): a token's keys and values, of all heads, are
// projections of one short vector, and that vector is all that the cache holds.
#pragma once

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// What latent attention sets in a configuration whose `latent` is there: the cache's one head of
/// keys, how much of it rope turns, the scale of scores.
void set_latent_options(ModelConfig& config);

/// The attention of h [tokens, hidden]. A head's query is multiplied by the head's key projection,
/// and its value projection by what was attended to, so neither keys nor values are ever expanded;
/// prefill and decoding do the same.
Value latent_attention(Context& ctx, const LayerWeights& weights, size_t first, const Value& h);

/// Adds its tensors to the table, from place `first` on. GGUF has the projections of each head in
/// stacks, and the rows that rope turns interleaved, or `gguf_as_published`.
void add_latent_attention(const ModelConfig& config, bool gguf_as_published, size_t first,
                          SpecTable table);

/// How many places those are.
size_t latent_attention_places(const ModelConfig& config);

}  // namespace millrace
