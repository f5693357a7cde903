// The paged cache of keys and values: blocks of 64 positions, taken, shared and given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "millrace/generate/prefix_index.h"
#include "millrace/graph/pages.h"

namespace millrace {

/// The blocks that one sequence holds.
struct CachedSequence {
  SequenceBlocks blocks;         ///< in the order of positions, for attention
  std::vector<int32_t> numbers;  ///< the same by number
  size_t entered = 0;            ///< the first of them can be found by others, and do not change
  int32_t state_number = -1;
  float* states = nullptr;  ///< of the layers that have states; null: not held
};

/// Owns all blocks. Memory grows as blocks are first needed, up to a limit, and is kept. A block
/// that can be found by its content stays when nobody holds it, until its memory is needed; the one
/// that was let go longest ago goes first, and ends before beginnings. The states of sequences are
/// memory beside the limit: as many as sequences run at a time.
class KeyValueCache {
 public:
  /// At most `max_blocks` blocks, `max_kept` of them held by nobody and kept for their content.
  KeyValueCache(const CacheLayout& layout, int64_t max_blocks, int64_t max_kept);
  KeyValueCache(const CacheLayout& layout, int64_t max_blocks)
      : KeyValueCache(layout, max_blocks, max_blocks) {}

  const CacheLayout& layout() const { return layout_; }
  int64_t max_blocks() const { return max_blocks_; }
  /// Blocks that nobody holds.
  int64_t free_blocks() const { return max_blocks_ - held_; }
  /// Of these, such as can be found by their content.
  int64_t kept_blocks() const { return kept_; }

  /// Makes `sequence` long enough for `positions` positions. False, and nothing changed, when there
  /// are not enough free blocks.
  bool extend(CachedSequence& sequence, int64_t positions);

  /// Gives all blocks back.
  void release(CachedSequence& sequence);

  /// Blocks that would be free if `sequence` gave its own back: those that it shares with none.
  int64_t unshared_blocks(const CachedSequence& sequence) const;

  /// Gives `sequence`, which has no blocks, those that hold the first of `ids`. Returns for how
  /// many positions: the keys and values of these are there.
  int64_t reuse(CachedSequence& sequence, const PrefixScope& scope, std::span<const int32_t> ids);

  /// Lets others find the full blocks of `sequence`, which holds the keys and values of `ids`.
  /// Where a block like it is known already, it is taken in place of the sequence's own.
  void enter(CachedSequence& sequence, const PrefixScope& scope, std::span<const int32_t> ids);

  /// Bytes of memory held.
  size_t bytes() const {
    return storage_.size() * layout_.block_bytes() + states_.size() * layout_.state_bytes();
  }

 private:
  /// One block; those kept without users are a list from the one let go longest ago.
  struct Block {
    int32_t users = 0;
    int32_t older = -1, newer = -1;
  };

  Block& block(int32_t number) { return blocks_[static_cast<size_t>(number)]; }
  std::byte* bytes_of(int32_t number) { return storage_[static_cast<size_t>(number)]->data(); }
  int32_t take();
  void hold(int32_t number);
  void let_go(int32_t number);
  void keep(int32_t number);
  int32_t forget_oldest();
  void unlink(int32_t number);
  void hold_states(CachedSequence& sequence);

  CacheLayout layout_;
  int64_t max_blocks_, max_kept_;
  int64_t held_ = 0;  // blocks with users
  int64_t kept_ = 0;  // blocks without, in the list
  std::vector<std::shared_ptr<Storage>> storage_;
  std::vector<Block> blocks_;
  std::vector<int32_t> free_;  // blocks of no content
  std::vector<std::shared_ptr<Storage>> states_;
  std::vector<int32_t> free_states_;
  int32_t oldest_ = -1, newest_ = -1;
  PrefixIndex index_;
};

}  // namespace millrace
