// Mixture of experts: a router sends each row to a few of many feed-forward networks.
#pragma once

#include <string>

#include "millrace/model/feed_forward.h"

namespace millrace {

/// What Hugging Face's files call the tensors of a layer's experts, behind the layer's prefix.
/// Where a name is empty there is no such tensor.
struct ExpertNames {
  std::string router = "mlp.gate";
  bool router_bias = false;
  std::string router_norm = "";     ///< of what it reads, which is divided by √hidden_size too
  std::string expert_scale = "";    ///< of each expert's weight; these two are whole names
  std::string selection_bias = "";  ///< Routing's; the whole name
  bool stacked_selection_bias = false;  ///< files hold it as [1, experts]
  /// "{}" stands for the expert; without one, files have stacks [experts, rows, columns].
  std::string expert = "mlp.experts.{}.";
  FeedForwardNames parts = {"gate_proj", "up_proj", "down_proj"};
  std::string shared = "mlp.shared_experts.";
  FeedForwardNames shared_parts = {"gate_proj", "up_proj", "down_proj"};
  std::string shared_gate = "mlp.shared_expert_gate";  ///< ExpertsConfig::shared_gate's
  /// gpt-oss' tensors of all experts: [experts, hidden, 2 · inner], gates and up projections in
  /// turn, and [experts, inner, hidden]; a bias is called as its matrix and "_bias".
  std::string stacked_gate_up = "", stacked_down = "";
  /// Those stacks are [experts, 2 · inner, hidden], the gates first, and [experts, hidden, inner],
  /// the first of them in GGUF too.
  bool stacks_as_used = false;
};

/// The rows of h [tokens, hidden] by their experts and what all share; `routed_by` is what the
/// router reads. Experts that no row chooses are not read.
Value experts(Context& ctx, const LayerWeights& weights, size_t first, const Value& h,
              const Value& routed_by);
inline Value experts(Context& ctx, const LayerWeights& weights, size_t first, const Value& h) {
  return experts(ctx, weights, first, h, h);
}

/// Adds the tensors of the layers that have experts to the table, from place `first` on.
void add_experts(const ModelConfig& config, const ExpertNames& names, size_t first,
                 SpecTable table);

}  // namespace millrace
