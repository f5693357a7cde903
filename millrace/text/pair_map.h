// A hash table from pairs of tokens: where byte-pair encoding spends its time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "millrace/base/indexed_map.h"

namespace millrace {

template <typename Value>
class PairMap {
 public:
  explicit PairMap(size_t expected = 0) { rehash(expected); }

  /// The value of a pair; nullptr where it has none.
  const Value* find(int32_t left, int32_t right) const {
    uint64_t hash = hash_of(left, right);
    if (!may_have(hash)) return nullptr;
    const Slot& slot = slots_[slot_of(hash, left, right)];
    return slot.left >= 0 ? &slot.value : nullptr;
  }

  /// The value of a pair, `initial` for a new one. Valid until the next call.
  Value& at(int32_t left, int32_t right, const Value& initial) {
    if (size_ + 1 > most_for(slots_.size())) rehash(2 * size_);
    uint64_t hash = hash_of(left, right);
    Slot& slot = slots_[slot_of(hash, left, right)];
    if (slot.left < 0) {
      slot = {left, right, initial};
      note(hash);
      ++size_;
    }
    return slot.value;
  }

 private:
  struct Slot {
    int32_t left = -1;  // no token: the slot is free
    int32_t right = -1;
    Value value = {};
  };

  static constexpr size_t most_for(size_t slots) { return slots / 8 * 5; }

  uint64_t hash_of(int32_t left, int32_t right) const {
    uint64_t key =
        static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    return key * multiplier_;
  }

  size_t slot_of(uint64_t hash, int32_t left, int32_t right) const {
    size_t i = hash >> shift_;
    while (slots_[i].left >= 0 && (slots_[i].left != left || slots_[i].right != right)) {
      i = (i + 1) & (slots_.size() - 1);
    }
    return i;
  }

  bool may_have(uint64_t hash) const {
    uint64_t bit = hash >> (shift_ - kFilterBits);
    return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
  }

  void note(uint64_t hash) {
    uint64_t bit = hash >> (shift_ - kFilterBits);
    filter_[bit / 64] |= uint64_t{1} << (bit % 64);
  }

  void rehash(size_t expected) {
    size_t slots = 64;
    while (most_for(slots) < expected + 1) slots *= 2;
    std::vector<Slot> old(slots);
    old.swap(slots_);
    filter_.assign((slots << kFilterBits) / 64, 0);
    shift_ = 64 - std::countr_zero(slots);
    for (const Slot& slot : old) {
      if (slot.left < 0) continue;
      uint64_t hash = hash_of(slot.left, slot.right);
      slots_[slot_of(hash, slot.left, slot.right)] = slot;
      note(hash);
    }
  }

  // Most searches are for pairs that are not there: a bit for each of a few beginnings of hashes
  // that a slot stands for says so from a table that fits a processor's second cache.
  static constexpr int kFilterBits = 2;

  std::vector<Slot> slots_;
  std::vector<uint64_t> filter_;
  size_t size_ = 0;
  int shift_ = 0;
  // Multiply-shift hashing (Dietzfelbinger et al. 1997): files cannot hold pairs that collide.
  uint64_t multiplier_ = seeded_hash("pairs") | 1;
};

}  // namespace millrace
