// Gated delta nets (Yang et al. 2024): what was said is kept in a state of each head, from which a
// key's old value is taken when it gets a new one. With a decay for each channel of the keys they
// are Kimi Delta Attention (Moonshot 2025).
#pragma once

#include <cstdint>

#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// How Hugging Face's files hold the tensors.
enum class DeltaNetFiles : uint8_t {
  by_key_head,  ///< by the key heads, each with its values and gates (Qwen3-Next)
  by_kind,      ///< all queries, all keys, all values (Qwen3.5)
  apart,        ///< each for itself, decays and gates as two matrices (Kimi Linear)
};

/// The delta net of h [tokens, hidden] in a layer that has one: queries, keys and values go through
/// a short convolution; the output is normed, and gated by h.
Value delta_net(Context& ctx, const LayerWeights& weights, size_t first, const Value& h);

/// Adds the tensors of the layers that have one to the table, from place `first` on.
void add_delta_net(const ModelConfig& config, DeltaNetFiles files, size_t first, SpecTable table);

/// How many places those are.
size_t delta_net_places(const ModelConfig& config);

}  // namespace millrace
