#include "millrace/generate/key_value_cache.h"

namespace millrace {
namespace {

std::span<const int32_t> ids_of_block(std::span<const int32_t> ids, size_t i) {
  return ids.subspan(i * kPageSize, kPageSize);
}

}  // namespace

KeyValueCache::KeyValueCache(const CacheLayout& layout, int64_t max_blocks, int64_t max_kept)
    : layout_(layout), max_blocks_(max_blocks), max_kept_(max_kept) {}

void KeyValueCache::unlink(int32_t number) {
  Block& b = block(number);
  (b.older < 0 ? oldest_ : block(b.older).newer) = b.newer;
  (b.newer < 0 ? newest_ : block(b.newer).older) = b.older;
  b.older = b.newer = -1;
  --kept_;
}

void KeyValueCache::keep(int32_t number) {
  block(number).older = newest_;
  (newest_ < 0 ? oldest_ : block(newest_).newer) = number;
  newest_ = number;
  ++kept_;
}

/// The kept block that was let go longest ago, which now has no content.
int32_t KeyValueCache::forget_oldest() {
  const int32_t number = oldest_;
  unlink(number);
  index_.erase(number);
  return number;
}

void KeyValueCache::hold(int32_t number) {
  if (block(number).users++ > 0) return;
  ++held_;
  if (index_.contains(number)) unlink(number);
}

void KeyValueCache::let_go(int32_t number) {
  if (--block(number).users > 0) return;
  --held_;
  if (index_.contains(number)) {
    keep(number);
    if (kept_ > max_kept_) free_.push_back(forget_oldest());
  } else {
    free_.push_back(number);
  }
}

/// A block of no content; there must be a free one.
int32_t KeyValueCache::take() {
  if (!free_.empty()) {
    const int32_t number = free_.back();
    free_.pop_back();
    return number;
  }
  if (static_cast<int64_t>(storage_.size()) < max_blocks_) {
    storage_.push_back(Storage::allocate(layout_.block_bytes()));
    blocks_.emplace_back();
    return static_cast<int32_t>(storage_.size()) - 1;
  }
  return forget_oldest();
}

bool KeyValueCache::extend(CachedSequence& sequence, int64_t positions) {
  const int64_t wanted =
      CacheLayout::blocks_for(positions) - static_cast<int64_t>(sequence.blocks.size());
  if (wanted > free_blocks()) return false;
  for (int64_t i = 0; i < wanted; ++i) {
    const int32_t number = take();
    hold(number);
    sequence.numbers.push_back(number);
    sequence.blocks.push_back(bytes_of(number));
  }
  hold_states(sequence);
  return true;
}

void KeyValueCache::hold_states(CachedSequence& sequence) {
  if (layout_.num_states == 0 || sequence.states != nullptr) return;
  if (free_states_.empty()) {
    free_states_.push_back(static_cast<int32_t>(states_.size()));
    states_.push_back(Storage::allocate(layout_.state_bytes()));
  }
  sequence.state_number = free_states_.back();
  free_states_.pop_back();
  sequence.states =
      reinterpret_cast<float*>(states_[static_cast<size_t>(sequence.state_number)]->data());
}

void KeyValueCache::release(CachedSequence& sequence) {
  for (size_t i = sequence.numbers.size(); i-- > 0;) let_go(sequence.numbers[i]);
  sequence.numbers.clear();
  sequence.blocks.clear();
  sequence.entered = 0;
  if (sequence.states != nullptr) free_states_.push_back(sequence.state_number);
  sequence.states = nullptr;
}

int64_t KeyValueCache::unshared_blocks(const CachedSequence& sequence) const {
  int64_t count = 0;
  for (int32_t number : sequence.numbers) count += blocks_[static_cast<size_t>(number)].users == 1;
  return count;
}

int64_t KeyValueCache::reuse(CachedSequence& sequence, const PrefixScope& scope,
                             std::span<const int32_t> ids) {
  int32_t previous = PrefixIndex::kNone;
  for (size_t i = 0; (i + 1) * kPageSize <= ids.size(); ++i) {
    const int32_t found = index_.find(scope, previous, ids_of_block(ids, i));
    if (found == PrefixIndex::kNone) break;
    hold(found);
    sequence.numbers.push_back(found);
    sequence.blocks.push_back(bytes_of(found));
    previous = found;
  }
  sequence.entered = sequence.numbers.size();
  return static_cast<int64_t>(sequence.entered) * kPageSize;
}

void KeyValueCache::enter(CachedSequence& sequence, const PrefixScope& scope,
                          std::span<const int32_t> ids) {
  for (size_t& i = sequence.entered; (i + 1) * kPageSize <= ids.size(); ++i) {
    const std::span<const int32_t> held = ids_of_block(ids, i);
    const int32_t previous = i == 0 ? PrefixIndex::kNone : sequence.numbers[i - 1];
    const int32_t own = sequence.numbers[i];
    const int32_t known = index_.find(scope, previous, held);
    if (known != PrefixIndex::kNone) {
      hold(known);
      let_go(own);
      sequence.numbers[i] = known;
      sequence.blocks[i] = bytes_of(known);
    } else if (!index_.insert(own, scope, previous, held)) {
      return;
    }
  }
}

}  // namespace millrace
