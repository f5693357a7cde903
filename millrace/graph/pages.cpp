#include "millrace/graph/pages.h"

#include <cstring>
#include <utility>

#include "millrace/kernels/key_selection.h"

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
  segment.prefix = batch.prefix[static_cast<size_t>(i)];
  return segment;
}

int64_t blocks_of(const AttentionSegment& segment) {
  return CacheLayout::blocks_for(segment.first_position + segment.query_count);
}

/// Points each segment at its run of `pages`, `count(i)` of them, once those no longer move.
template <typename Count>
void point_at_pages(std::vector<AttentionSegment>& segments, std::span<std::byte* const> pages,
                    const Count& count) {
  size_t begin = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto own = static_cast<size_t>(count(i));
    segments[i].pages = pages.subspan(begin, own);
    begin += own;
  }
}

}  // namespace

CacheLayout cache_layout(std::span<const AttentionShape> layers, DType dtype) {
  CacheLayout layout;
  layout.dtype = dtype;
  for (const AttentionShape& shape : layers) {
    const DType kept = shape.keys_only ? KeySelector::key_dtype(dtype) : dtype;
    layout.page_begin.push_back(layout.block_bytes() + page_bytes(shape, kept));
  }
  return layout;
}

std::vector<AttentionSegment> batch_segments(const RaggedBatch& batch) {
  std::vector<AttentionSegment> segments;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) segments.push_back(segment_of(batch, i));
  return segments;
}

void restrict_to(const RaggedBatch& batch, Part part, std::vector<AttentionSegment>& segments) {
  if (part == Part::whole) return;
  int64_t rows = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    AttentionSegment& segment = segments[i];
    const int64_t prefix_rows = batch.prefix_rows(static_cast<int64_t>(i));
    segment.query_begin = rows;
    if (part == Part::prefix) {
      segment.query_count = prefix_rows;
    } else {
      segment.query_count -= prefix_rows;
      segment.first_position += prefix_rows;
      segment.first_key = segment.prefix;
      segment.prefix = 0;
    }
    rows += segment.query_count;
  }
}

void look_at_prefixes(const RaggedBatch& batch, std::vector<AttentionSegment>& segments) {
  restrict_to(batch, Part::behind, segments);
  int64_t keys = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    segments[i].prefix = std::exchange(segments[i].first_key, 0);
    segments[i].key_begin = keys;
    keys += batch.prefix_rows(static_cast<int64_t>(i));
  }
}

void ScratchPages::segments(const RaggedBatch& batch, Part part, size_t page_bytes,
                            std::vector<AttentionSegment>& segments) {
  segments.clear();
  const auto blocks = [&](size_t i) {
    if (part != Part::prefix) return blocks_of(segments[i]);
    return CacheLayout::blocks_for(batch.prefix_rows(static_cast<int64_t>(i)));
  };
  int64_t total = 0;
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    segments.push_back(segment_of(batch, i));
    const int64_t count = blocks(static_cast<size_t>(i));
    require(segments.back().first_position == 0 || count == 0,
            "a sequence without a cache begins at position {}", segments.back().first_position);
    total += count;
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
  point_at_pages(segments, pages_, blocks);
}

void cached_segments(const RaggedBatch& batch, const CacheLayout& layout,
                     std::span<const SequenceBlocks* const> sequences, int64_t layer,
                     std::vector<std::byte*>& pages, std::vector<AttentionSegment>& segments) {
  pages.clear();
  segments.clear();
  const size_t offset = layout.page_begin[static_cast<size_t>(layer)];
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    const SequenceBlocks& blocks = *sequences[static_cast<size_t>(i)];
    segments.push_back(segment_of(batch, i));
    auto count = static_cast<size_t>(blocks_of(segments.back()));
    require(blocks.size() >= count, "a sequence has {} cache blocks and needs {}", blocks.size(),
            count);
    for (size_t b = 0; b < count; ++b) pages.push_back(blocks[b] + offset);
  }
  point_at_pages(segments, pages, [&](size_t i) { return blocks_of(segments[i]); });
}

}  // namespace millrace
