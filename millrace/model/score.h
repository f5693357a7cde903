// How likely a model finds text: the loss of every token.
#pragma once

#include <cstdint>
#include <span>

#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

/// losses[i] = −log p(targets[i]) in nats after tokens up to i of its sequence, 0 where the target
/// is −1. Sequences begin at position 0. A token's loss has the same bits in any batch, and is what
/// training with the same weights and types computes.
void token_losses(const Model& model, const RaggedBatch& batch, std::span<const int32_t> targets,
                  Workspace& workspace, std::span<float> losses,
                  const LowRankMap* adapter = nullptr);

}  // namespace millrace
