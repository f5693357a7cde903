// A hash table from pairs of tokens to numbers: where byte-pair encoding spends its time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "millrace/base/indexed_map.h"
#include "millrace/base/random.h"

namespace millrace {

class PairMap {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit PairMap(size_t expected = 0) { rehash(expected); }

  /// The number of a pair, or kNone.
  uint32_t find(int32_t left, int32_t right) const { return slots_[slot_of(left, right)].value; }

  /// The number of a pair, to be set; kNone for a new one. Valid until the next call.
  uint32_t& at(int32_t left, int32_t right) {
    if (4 * (size_ + 1) > 3 * slots_.size()) rehash(2 * size_);
    Slot& slot = slots_[slot_of(left, right)];
    if (slot.left < 0) {
      slot = {left, right, kNone};
      ++size_;
    }
    return slot.value;
  }

 private:
  struct Slot {
    int32_t left = -1;  // no token: the slot is free
    int32_t right = -1;
    uint32_t value = kNone;
  };

  size_t slot_of(int32_t left, int32_t right) const {
    uint64_t key =
        static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    size_t mask = slots_.size() - 1;
    size_t i = mix_bits(key ^ seed_) & mask;
    while (slots_[i].left >= 0 && (slots_[i].left != left || slots_[i].right != right)) {
      i = (i + 1) & mask;
    }
    return i;
  }

  void rehash(size_t expected) {
    std::vector<Slot> old(std::bit_ceil(expected + expected / 3 + 8));
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.left >= 0) slots_[slot_of(slot.left, slot.right)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
  uint64_t seed_ = seeded_hash("pairs");  // files cannot hold pairs that collide
};

}  // namespace millrace
