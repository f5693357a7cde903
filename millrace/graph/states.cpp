#include "millrace/graph/states.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// The segment of sequence i.
StateSegment segment_of(const RaggedBatch& batch, int64_t i, float* state) {
  const int64_t begin = batch.sequence_begin[static_cast<size_t>(i)];
  return {begin, batch.sequence_begin[static_cast<size_t>(i) + 1] - begin, state};
}

bool begins_at_zero(const RaggedBatch& batch, const StateSegment& segment) {
  return segment.count == 0 || batch.positions[static_cast<size_t>(segment.begin)] == 0;
}

}  // namespace

void cached_states(const RaggedBatch& batch, const CacheLayout& layout,
                   std::span<float* const> states, int64_t layer, int64_t begin, int64_t size,
                   std::vector<StateSegment>& segments) {
  require(static_cast<int64_t>(states.size()) == batch.num_sequences() &&
              std::find(states.begin(), states.end(), nullptr) == states.end(),
          "the states of {} sequences are missing", batch.num_sequences());
  segments.clear();
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    float* state = states[static_cast<size_t>(i)] + layer * layout.state_size + begin;
    segments.push_back(segment_of(batch, i, state));
    if (segments.back().count > 0 && begins_at_zero(batch, segments.back())) {
      std::fill_n(state, size, 0.0f);
    }
  }
}

Tensor scratch_states(const RaggedBatch& batch, int64_t size, Activations& activations,
                      std::vector<StateSegment>& segments) {
  const int64_t sequences = batch.num_sequences();
  Tensor memory = activations.take_zeroed(sequences, size);
  segments.clear();
  for (int64_t i = 0; i < sequences; ++i) {
    float* state = memory.f32().data() + i * size;
    segments.push_back(segment_of(batch, i, state));
    require(begins_at_zero(batch, segments.back()),
            "a sequence without a cache begins behind position 0");
  }
  return memory;
}

std::vector<StateSegment> whole_sequences(const RaggedBatch& batch) {
  std::vector<StateSegment> segments;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    segments.push_back(segment_of(batch, i, nullptr));
  }
  return segments;
}

}  // namespace millrace
