// Which blocks of the cache hold which tokens: finds what sequences that begin alike can share.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "millrace/graph/parameter.h"
#include "millrace/kernels/attention.h"

namespace millrace {

/// Whose prefixes are shared with whom. Keys and values depend on the adapter, too.
struct PrefixScope {
  std::string name;
  std::shared_ptr<const LowRankMap> adapter;
  int64_t rope_length = 0;  ///< of kernels/rope.h: by it keys are turned
};

/// Finds blocks by what they hold: the tokens of their kPageSize positions and, by way of the block
/// before them, all tokens from the beginning in one scope. A hit compares all of it, so that equal
/// hashes show nobody another's text.
class PrefixIndex {
 public:
  static constexpr int32_t kNone = -1;

  PrefixIndex();

  /// The block with `ids` [kPageSize] after block `previous` (kNone: at the beginning), or kNone.
  int32_t find(const PrefixScope& scope, int32_t previous, std::span<const int32_t> ids) const;

  /// Enters `block`, which has no entry, as that one; `previous` has one. False where its place is
  /// taken: by a block that find gives, or, rarely, by one of equal hash.
  bool insert(int32_t block, const PrefixScope& scope, int32_t previous,
              std::span<const int32_t> ids);

  void erase(int32_t block);
  bool contains(int32_t block) const;

 private:
  struct Entry {
    uint64_t serial = 0;    // tells it from all other entries that ever were; 0: no entry
    uint64_t previous = 0;  // the serial of the one before; 0: none
    uint64_t hash = 0;
    std::array<int32_t, kPageSize> ids{};
    // Of a block at the beginning only. A dead adapter's successor at its address is another one.
    std::string scope;
    std::weak_ptr<const LowRankMap> adapter;
    const LowRankMap* adapter_address = nullptr;
    int64_t rope_length = 0;
  };

  uint64_t serial_of(int32_t block) const;
  uint64_t hash(const PrefixScope& scope, uint64_t previous, std::span<const int32_t> ids) const;

  uint64_t salt_;  // nobody can make texts of equal hashes
  uint64_t last_serial_ = 0;
  std::vector<Entry> entries_;                    // by block
  std::unordered_map<uint64_t, int32_t> blocks_;  // by hash
};

}  // namespace millrace
