// The feed-forward network of a layer, which is an MLP of its own or one of many experts.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "millrace/model/config.h"
#include "millrace/model/layer_weights.h"
#include "millrace/model/spec_table.h"

namespace millrace {

/// Its tensors, from the place of the first on.
namespace feed_forward_place {
enum : size_t { kGate, kGateBias, kUp, kUpBias, kDown, kDownBias, kCount };
}  // namespace feed_forward_place

/// What Hugging Face's files call the gate, up and down projections. The gate's is empty where
/// there is none.
using FeedForwardNames = std::array<std::string, 3>;

/// down(activation(gate(h)) · up(h)), or without a gate down(activation(up(h))).
Value feed_forward(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
                   bool of_expert = false);

/// Adds its tensors to the table. In `gguf_name` "{}" stands for gate, up and down.
void add_feed_forward(const ModelConfig& config, const FeedForwardNames& names,
                      std::string_view gguf_name, int64_t inner, bool biased, size_t first,
                      SpecTable& table);

}  // namespace millrace
