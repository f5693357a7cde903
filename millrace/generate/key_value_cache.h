// The paged cache of keys and values: blocks of 64 positions, taken and given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "millrace/graph/pages.h"

namespace millrace {

/// Owns all blocks. Memory grows as blocks are first needed, up to a limit, and is kept.
class KeyValueCache {
 public:
  /// At most `max_blocks` blocks.
  KeyValueCache(const CacheLayout& layout, int64_t max_blocks);

  const CacheLayout& layout() const { return layout_; }
  int64_t max_blocks() const { return max_blocks_; }
  int64_t free_blocks() const { return max_blocks_ - used_blocks_; }

  /// Makes `blocks` long enough for `positions` positions. False, and nothing changed, when there
  /// are not enough free blocks.
  bool extend(SequenceBlocks& blocks, int64_t positions);

  /// Gives all blocks back.
  void release(SequenceBlocks& blocks);

  /// Bytes of memory held.
  size_t bytes() const { return storage_.size() * layout_.block_bytes(); }

 private:
  CacheLayout layout_;
  int64_t max_blocks_;
  int64_t used_blocks_ = 0;
  std::vector<std::shared_ptr<Storage>> storage_;
  std::vector<std::byte*> free_;
};

}  // namespace millrace
