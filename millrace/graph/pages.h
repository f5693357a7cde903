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

/// How the cache of one model is cut: a block holds kPageSize positions of every layer, the page
/// of layer i at i · page_bytes.
struct CacheLayout {
  DType dtype = DType::bf16;
  int64_t num_layers = 0;
  size_t page_bytes = 0;

  size_t block_bytes() const { return page_bytes * static_cast<size_t>(num_layers); }
  /// Blocks that hold `positions` positions.
  static int64_t blocks_for(int64_t positions) { return (positions + kPageSize - 1) / kPageSize; }
};

CacheLayout cache_layout(const AttentionShape& shape, DType dtype, int64_t num_layers);

/// The blocks of one sequence in the order of their positions; whoever made them owns them.
using SequenceBlocks = std::vector<std::byte*>;

/// One segment for each sequence of the batch, without pages.
std::vector<AttentionSegment> batch_segments(const RaggedBatch& batch);

/// Pages of one layer for sequences that begin and end in one batch, used again for every layer:
/// what training and scoring attend to, who keep no cache. Not for several threads.
class ScratchPages {
 public:
  /// Segments over zeroed pages for each sequence of the batch, whose positions must begin at 0.
  /// Valid until the next call.
  std::span<const AttentionSegment> segments(const RaggedBatch& batch, size_t page_bytes);

 private:
  std::shared_ptr<Storage> bytes_;
  std::vector<std::byte*> pages_;
  std::vector<AttentionSegment> segments_;
};

/// The segments of a batch whose sequence i has its keys and values in `sequences[i]`, for one
/// layer; `pages` is scratch that the segments point into. Throws Error when blocks are missing.
void cached_segments(const RaggedBatch& batch, const CacheLayout& layout,
                     std::span<const SequenceBlocks* const> sequences, int64_t layer,
                     std::vector<std::byte*>& pages, std::vector<AttentionSegment>& segments);

}  // namespace millrace
