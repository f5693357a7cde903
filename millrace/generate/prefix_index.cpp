#include "millrace/generate/prefix_index.h"

#include <xxhash.h>

#include <algorithm>
#include <random>

#include "millrace/base/error.h"

namespace millrace {
namespace {

uint64_t random_salt() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

PrefixIndex::PrefixIndex() : salt_(random_salt()) {}

bool PrefixIndex::contains(int32_t block) const {
  return static_cast<size_t>(block) < entries_.size() &&
         entries_[static_cast<size_t>(block)].serial != 0;
}

uint64_t PrefixIndex::serial_of(int32_t block) const {
  return block == kNone ? 0 : entries_[static_cast<size_t>(block)].serial;
}

uint64_t PrefixIndex::hash(const PrefixScope& scope, uint64_t previous,
                           std::span<const int32_t> ids) const {
  uint64_t seed = salt_ ^ previous;
  if (previous == 0) {
    const auto adapter = reinterpret_cast<uintptr_t>(scope.adapter.get());
    const auto length = static_cast<uint64_t>(scope.rope_length);
    seed ^= XXH3_64bits_withSeed(scope.name.data(), scope.name.size(), salt_ ^ adapter ^ length);
  }
  return XXH3_64bits_withSeed(ids.data(), ids.size_bytes(), seed);
}

int32_t PrefixIndex::find(const PrefixScope& scope, int32_t previous,
                          std::span<const int32_t> ids) const {
  const uint64_t before = serial_of(previous);
  auto found = blocks_.find(hash(scope, before, ids));
  if (found == blocks_.end()) return kNone;
  const Entry& entry = entries_[static_cast<size_t>(found->second)];
  if (entry.previous != before || !std::equal(ids.begin(), ids.end(), entry.ids.begin())) {
    return kNone;
  }
  if (before != 0) return found->second;
  const bool same_adapter = entry.adapter_address == scope.adapter.get() &&
                            !entry.adapter.owner_before(scope.adapter) &&
                            !scope.adapter.owner_before(entry.adapter);
  const bool same =
      same_adapter && entry.scope == scope.name && entry.rope_length == scope.rope_length;
  return same ? found->second : kNone;
}

bool PrefixIndex::insert(int32_t block, const PrefixScope& scope, int32_t previous,
                         std::span<const int32_t> ids) {
  const uint64_t before = serial_of(previous);
  const uint64_t key = hash(scope, before, ids);
  if (!blocks_.try_emplace(key, block).second) return false;
  if (entries_.size() <= static_cast<size_t>(block))
    entries_.resize(static_cast<size_t>(block) + 1);
  Entry& entry = entries_[static_cast<size_t>(block)];
  entry.serial = ++last_serial_;
  entry.previous = before;
  entry.hash = key;
  std::copy(ids.begin(), ids.end(), entry.ids.begin());
  if (before == 0) {
    entry.scope = scope.name;
    entry.adapter = scope.adapter;
    entry.adapter_address = scope.adapter.get();
    entry.rope_length = scope.rope_length;
  }
  return true;
}

void PrefixIndex::erase(int32_t block) {
  if (!contains(block)) return;
  blocks_.erase(entries_[static_cast<size_t>(block)].hash);
  entries_[static_cast<size_t>(block)] = {};
}

}  // namespace millrace
