// Pages of keys and values: where attention finds what came before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "millrace/graph/batch.h"
#include "millrace/kernels/attention.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// How the cache of one model is cut: a block holds kPageSize positions of every layer that has
/// keys, a page for each of them. Beside its blocks a sequence has the states of the layers that
/// have those, the i-th at i · state_size.
struct CacheLayout {
  DType dtype = DType::bf16;
  std::vector<size_t> page_begin = {0};  ///< [layers + 1], where in a block their pages begin
  int64_t num_states = 0;
  int64_t state_size = 0;  ///< in floats

  size_t block_bytes() const { return page_begin.back(); }
  size_t state_bytes() const {
    return static_cast<size_t>(num_states * state_size) * sizeof(float);
  }
  /// Blocks that hold `positions` positions.
  static int64_t blocks_for(int64_t positions) { return (positions + kPageSize - 1) / kPageSize; }
};

/// Of layers that attend so.
CacheLayout cache_layout(std::span<const AttentionShape> layers, DType dtype);

/// The blocks of one sequence in the order of their positions; whoever made them owns them.
using SequenceBlocks = std::vector<std::byte*>;

/// One segment for each sequence of the batch, without pages.
std::vector<AttentionSegment> batch_segments(const RaggedBatch& batch);

/// The segments of whole sequences become those of a part of them, whose rows stand side by side.
void restrict_to(const RaggedBatch& batch, Part part, std::vector<AttentionSegment>& segments);

/// The same for the part behind the prefixes, which sees nothing but those: with a shape that is
/// not causal. Keys and values are rows of the prefixes.
void look_at_prefixes(const RaggedBatch& batch, std::vector<AttentionSegment>& segments);

/// Pages of one layer for sequences that begin and end in one batch, used again for every layer:
/// what training and scoring attend to, who keep no cache. Not for several threads.
class ScratchPages {
 public:
  /// Segments of each sequence of the batch over zeroed pages for a part of it, whose positions
  /// must begin at 0 where it has any. Valid until the next call.
  void segments(const RaggedBatch& batch, Part part, size_t page_bytes,
                std::vector<AttentionSegment>& segments);

 private:
  std::shared_ptr<Storage> bytes_;
  std::vector<std::byte*> pages_;
};

/// The segments of a batch whose sequence i has its keys and values in `sequences[i]`, for one
/// layer; `pages` is scratch that the segments point into. Throws Error when blocks are missing.
void cached_segments(const RaggedBatch& batch, const CacheLayout& layout,
                     std::span<const SequenceBlocks* const> sequences, int64_t layer,
                     std::vector<std::byte*>& pages, std::vector<AttentionSegment>& segments);

}  // namespace millrace
