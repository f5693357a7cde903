// States of recurrent layers: where a sequence's tokens of before have gone.
#pragma once

#include <span>
#include <vector>

#include "millrace/graph/activations.h"
#include "millrace/graph/batch.h"
#include "millrace/graph/pages.h"
#include "millrace/kernels/state_segment.h"

namespace millrace {

/// The segments of a batch whose sequence i has its states in `states[i]`, for `size` numbers from
/// `begin` on in those of the layer-th layer. A sequence's state at position 0 is zeros. Throws
/// Error when states are missing.
void cached_states(const RaggedBatch& batch, const CacheLayout& layout,
                   std::span<float* const> states, int64_t layer, int64_t begin, int64_t size,
                   std::vector<StateSegment>& segments);

/// Segments over fresh zeroed states of `size` numbers for sequences that begin and end in one
/// batch, and the memory of these.
Tensor scratch_states(const RaggedBatch& batch, int64_t size, Activations& activations,
                      std::vector<StateSegment>& segments);

/// The sequences of a batch without states, for what goes back through whole ones.
std::vector<StateSegment> whole_sequences(const RaggedBatch& batch);

}  // namespace millrace
