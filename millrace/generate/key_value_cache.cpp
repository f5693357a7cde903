#include "millrace/generate/key_value_cache.h"

namespace millrace {

KeyValueCache::KeyValueCache(const CacheLayout& layout, int64_t max_blocks)
    : layout_(layout), max_blocks_(max_blocks) {}

bool KeyValueCache::extend(SequenceBlocks& blocks, int64_t positions) {
  const int64_t wanted = CacheLayout::blocks_for(positions) - static_cast<int64_t>(blocks.size());
  if (wanted > free_blocks()) return false;
  for (int64_t i = 0; i < wanted; ++i) {
    if (free_.empty()) {
      storage_.push_back(Storage::allocate(layout_.block_bytes()));
      free_.push_back(storage_.back()->data());
    }
    blocks.push_back(free_.back());
    free_.pop_back();
    ++used_blocks_;
  }
  return true;
}

void KeyValueCache::release(SequenceBlocks& blocks) {
  used_blocks_ -= static_cast<int64_t>(blocks.size());
  free_.insert(free_.end(), blocks.begin(), blocks.end());
  blocks.clear();
}

}  // namespace millrace
