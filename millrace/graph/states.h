// States of linear attention: where a sequence's tokens of before have gone.
#pragma once

#include <span>
#include <vector>

#include "millrace/graph/activations.h"
#include "millrace/graph/batch.h"
#include "millrace/graph/pages.h"
#include "millrace/kernels/linear_attention.h"

namespace millrace {

/// The segments of a batch whose sequence i has its states in `states[i]`, for the layer-th of
/// them. A sequence's state at position 0 is zeros. Throws Error when states are missing.
void cached_states(const RaggedBatch& batch, const CacheLayout& layout,
                   std::span<float* const> states, int64_t layer,
                   std::vector<StateSegment>& segments);

/// Segments over fresh zeroed states for sequences that begin and end in one batch, and the memory
/// of these.
Tensor scratch_states(const RaggedBatch& batch, const LinearAttentionShape& shape,
                      Activations& activations, std::vector<StateSegment>& segments);

}  // namespace millrace
