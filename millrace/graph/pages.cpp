#include "millrace/graph/pages.h"

#include <cstring>

namespace millrace {
namespace {

/// The segment of sequence `i`, without its pages.
AttentionSegment segment_of(const RaggedBatch& batch, int64_t i) {
  AttentionSegment segment;
  segment.query_begin = batch.sequence_begin[static_cast<size_t>(i)];
  segment.query_count = batch.sequence_begin[static_cast<size_t>(i) + 1] - segment.query_begin;
  if (segment.query_count > 0) {
    segment.first_position = batch.positions[static_cast<size_t>(segment.query_begin)];
  }
  return segment;
}

int64_t blocks_of(const AttentionSegment& segment) {
  return CacheLayout::blocks_for(segment.first_position + segment.query_count);
}

/// Points each segment at its run of `pages`, once those no longer move.
void point_at_pages(std::vector<AttentionSegment>& segments, std::span<std::byte* const> pages) {
  size_t begin = 0;
  for (AttentionSegment& segment : segments) {
    auto count = static_cast<size_t>(blocks_of(segment));
    segment.pages = pages.subspan(begin, count);
    begin += count;
  }
}

}  // namespace

CacheLayout cache_layout(const AttentionShape& shape, DType dtype, int64_t num_layers) {
  return {dtype, num_layers, page_bytes(shape, dtype)};
}

std::vector<AttentionSegment> batch_segments(const RaggedBatch& batch) {
  std::vector<AttentionSegment> segments;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) segments.push_back(segment_of(batch, i));
  return segments;
}

std::span<const AttentionSegment> ScratchPages::segments(const RaggedBatch& batch,
                                                         size_t page_bytes) {
  segments_.clear();
  int64_t total = 0;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    segments_.push_back(segment_of(batch, i));
    require(segments_.back().first_position == 0,
            "a sequence without a cache begins at position {}", segments_.back().first_position);
    total += blocks_of(segments_.back());
  }
  size_t bytes = static_cast<size_t>(total) * page_bytes;
  if (bytes_ == nullptr || bytes_->size() < bytes) {
    bytes_ = Storage::allocate(bytes);
  } else {
    std::memset(bytes_->data(), 0, bytes);
  }
  pages_.clear();
  for (int64_t i = 0; i < total; ++i) {
    pages_.push_back(bytes_->data() + static_cast<size_t>(i) * page_bytes);
  }
  point_at_pages(segments_, pages_);
  return segments_;
}

void cached_segments(const RaggedBatch& batch, const CacheLayout& layout,
                     std::span<const SequenceBlocks* const> sequences, int64_t layer,
                     std::vector<std::byte*>& pages, std::vector<AttentionSegment>& segments) {
  pages.clear();
  segments.clear();
  const size_t offset = static_cast<size_t>(layer) * layout.page_bytes;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const SequenceBlocks& blocks = *sequences[static_cast<size_t>(i)];
    segments.push_back(segment_of(batch, i));
    auto count = static_cast<size_t>(blocks_of(segments.back()));
    require(blocks.size() >= count, "a sequence has {} cache blocks and needs {}", blocks.size(),
            count);
    for (size_t b = 0; b < count; ++b) pages.push_back(blocks[b] + offset);
  }
  point_at_pages(segments, pages);
}

}  // namespace millrace
