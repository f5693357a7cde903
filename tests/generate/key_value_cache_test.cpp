// Random operations on the cache, compared with a model of it that keeps whole texts in a map.
#include "millrace/generate/key_value_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "millrace/base/random.h"

namespace millrace {
namespace {

using Ids = std::vector<int32_t>;

constexpr int64_t kPage = kPageSize;

/// A block of eight bytes a position.
CacheLayout small_layout() {
  return {DType::f32, {0, 8 * kPageSize}};
}

/// What "keys and values" a position has in these tests: a hash of the whole text up to it.
uint64_t mark(const PrefixScope& scope, std::span<const int32_t> ids) {
  uint64_t hash = mix_bits(std::hash<std::string>()(scope.name)) ^
                  mix_bits(reinterpret_cast<uintptr_t>(scope.adapter.get()));
  for (int32_t id : ids) hash = mix_bits(hash ^ static_cast<uint64_t>(id));
  return hash;
}

/// One sequence in both worlds.
struct Both {
  PrefixScope scope;
  Ids ids;                // all that it will say
  int64_t processed = 0;  // of these
  CachedSequence cached;  // the cache's view
  int64_t shared = 0;     // the model's: blocks by content, and others
  int64_t own = 0;
};

/// The naive model.
class Model {
 public:
  Model(int64_t capacity, int64_t max_kept) : capacity_(capacity), max_kept_(max_kept) {}

  int64_t free() const {
    int64_t held = own_;
    for (const auto& [key, known] : known_) held += known.users > 0;
    return capacity_ - held;
  }
  int64_t kept() const {
    int64_t kept = 0;
    for (const auto& [key, known] : known_) kept += known.users == 0;
    return kept;
  }
  bool extend(Both& s, int64_t positions) {
    const int64_t wanted = (positions + kPage - 1) / kPage - s.shared - s.own;
    if (wanted <= 0) return true;
    if (wanted > free()) return false;
    s.own += wanted;
    own_ += wanted;
    while (own_ + static_cast<int64_t>(known_.size()) > capacity_) evict();
    return true;
  }
  int64_t reuse(Both& s, size_t limit) {
    for (size_t n = kPage; n <= limit; n += kPage) {
      auto found = known_.find(key(s, n));
      if (found == known_.end()) break;
      ++found->second.users;
      ++s.shared;
    }
    return s.shared * kPage;
  }
  void enter(Both& s) {
    while ((s.shared + 1) * kPage <= s.processed) {
      ++known_[key(s, static_cast<size_t>((s.shared + 1) * kPage))].users;
      ++s.shared;
      --s.own;
      --own_;
    }
  }
  void release(Both& s) {
    for (; s.shared > 0; --s.shared) {
      Known& known = known_[key(s, static_cast<size_t>(s.shared * kPage))];
      if (--known.users == 0) known.let_go = ++time_;
      if (kept() > max_kept_) evict();
    }
    own_ -= s.own;
    s.own = 0;
  }

 private:
  using Key = std::tuple<std::string, const LowRankMap*, Ids>;
  struct Known {
    int64_t users = 0, let_go = 0;
  };

  static Key key(const Both& s, size_t length) {
    return {s.scope.name, s.scope.adapter.get(),
            Ids(s.ids.begin(), s.ids.begin() + static_cast<int64_t>(length))};
  }
  void evict() {
    auto oldest = known_.end();
    for (auto it = known_.begin(); it != known_.end(); ++it) {
      if (it->second.users > 0) continue;
      if (oldest == known_.end() || it->second.let_go < oldest->second.let_go) oldest = it;
    }
    known_.erase(oldest);
  }

  int64_t capacity_, max_kept_, own_ = 0, time_ = 0;
  std::map<Key, Known> known_;
};

class RandomOperations {
 public:
  explicit RandomOperations(uint64_t seed)
      : RandomOperations(seed, seed % 3 == 0 ? 5 : kCapacity) {}
  RandomOperations(uint64_t seed, int64_t max_kept)
      : random_(seed), cache_(small_layout(), kCapacity, max_kept), model_(kCapacity, max_kept) {
    for (int i = 0; i < 2; ++i) adapters_.push_back(std::make_shared<LowRankMap>());
    adapters_.push_back(nullptr);
  }

  void run(int operations) {
    for (int i = 0; i < operations && !testing::Test::HasFailure(); ++i) {
      const uint64_t what = random_.below(8);
      if (what == 0 || sequences_.empty()) {
        begin();
      } else if (what < 6) {
        process(pick());
      } else if (what == 6) {
        release(random_.below(sequences_.size()));
      }
      check();
    }
    while (!sequences_.empty()) release(0);
    check();
    EXPECT_EQ(cache_.free_blocks(), kCapacity);
    hits += found_;
  }

  static int64_t hits;

 private:
  static constexpr int64_t kCapacity = 12;

  Both& pick() { return sequences_[random_.below(sequences_.size())]; }

  /// Texts of few kinds of blocks, so that they often begin alike.
  void begin() {
    Both& s = sequences_.emplace_back();
    s.scope = {random_.below(3) == 0 ? "other" : "", adapters_[random_.below(3)]};
    const uint64_t blocks = random_.below(5);
    for (uint64_t b = 0; b <= blocks; ++b) {
      const auto kind = static_cast<int32_t>(random_.below(2));
      s.ids.insert(s.ids.end(), kPageSize, kind);
    }
    s.ids.resize(s.ids.size() - random_.below(kPageSize));
    const size_t limit = s.ids.size() - 1;
    s.processed = cache_.reuse(s.cached, s.scope, std::span(s.ids).first(limit));
    found_ += s.processed;
    EXPECT_EQ(s.processed, model_.reuse(s, limit));
    for (int64_t p = 0; p < s.processed; ++p) expect_mark(s, p);
  }

  void process(Both& s) {
    const auto size = static_cast<int64_t>(s.ids.size());
    const int64_t to =
        std::min(size, s.processed + 1 + static_cast<int64_t>(random_.below(2 * kPageSize)));
    const bool extended = cache_.extend(s.cached, to);
    ASSERT_EQ(extended, model_.extend(s, to));
    if (!extended) return;
    for (; s.processed < to; ++s.processed) {
      const uint64_t value = mark(s.scope, std::span(s.ids).first(s.processed + 1));
      std::memcpy(place(s, s.processed), &value, sizeof(value));
    }
    if (random_.below(4) == 0) return;
    cache_.enter(s.cached, s.scope, std::span(s.ids).first(static_cast<size_t>(s.processed)));
    model_.enter(s);
  }

  void release(size_t i) {
    cache_.release(sequences_[i].cached);
    model_.release(sequences_[i]);
    sequences_.erase(sequences_.begin() + static_cast<int64_t>(i));
  }

  static std::byte* place(const Both& s, int64_t position) {
    return s.cached.blocks[static_cast<size_t>(position / kPage)] + 8 * (position % kPage);
  }
  static void expect_mark(const Both& s, int64_t position) {
    uint64_t found = 0;
    std::memcpy(&found, place(s, position), sizeof(found));
    ASSERT_EQ(found, mark(s.scope, std::span(s.ids).first(static_cast<size_t>(position) + 1)));
  }

  void check() {
    EXPECT_EQ(cache_.free_blocks(), model_.free());
    EXPECT_EQ(cache_.kept_blocks(), model_.kept());
    std::set<std::byte*> unshared;
    for (const Both& s : sequences_) {
      EXPECT_EQ(static_cast<int64_t>(s.cached.entered), s.shared);
      // Nobody writes into what another one holds.
      for (size_t b = s.cached.entered; b < s.cached.blocks.size(); ++b) {
        EXPECT_TRUE(unshared.insert(s.cached.blocks[b]).second);
      }
      if (s.processed > 0) expect_mark(s, static_cast<int64_t>(random_.below(s.processed)));
    }
    for (const Both& s : sequences_) {
      for (size_t b = 0; b < s.cached.entered; ++b) {
        EXPECT_FALSE(unshared.contains(s.cached.blocks[b]));
      }
    }
  }

  Random random_;
  KeyValueCache cache_;
  Model model_;
  std::vector<std::shared_ptr<const LowRankMap>> adapters_;
  std::vector<Both> sequences_;
  int64_t found_ = 0;
};

int64_t RandomOperations::hits = 0;

TEST(KeyValueCache, BehavesLikeAMapOfTexts) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomOperations(seed).run(400);
    if (HasFailure()) return;
  }
  EXPECT_GT(RandomOperations::hits, 1000);
}

TEST(KeyValueCache, ShowsNobodyWhatBelongsToAnotherScopeOrToAnAdapterThatIsGone) {
  KeyValueCache cache(small_layout(), 8);
  const Ids ids(2 * kPageSize, 7);
  auto found = [&](const PrefixScope& scope) {
    CachedSequence s;
    const int64_t positions = cache.reuse(s, scope, ids);
    cache.release(s);
    return positions;
  };
  auto adapter = std::make_shared<LowRankMap>();
  const LowRankMap* address = adapter.get();
  CachedSequence first;
  ASSERT_TRUE(cache.extend(first, 2 * kPage));
  cache.enter(first, {"a", adapter}, ids);
  cache.release(first);
  EXPECT_EQ(found({"a", adapter}), 2 * kPage);
  EXPECT_EQ(found({"b", adapter}), 0);
  EXPECT_EQ(found({"a", nullptr}), 0);
  // Another adapter at the same address is another adapter.
  std::shared_ptr<const LowRankMap> successor(std::make_shared<int>(), address);
  EXPECT_EQ(found({"a", successor}), 0);
  EXPECT_EQ(found({"a", std::shared_ptr<const LowRankMap>(std::shared_ptr<void>(), address)}), 0);
}

TEST(KeyValueCache, LetsGoOfEndsBeforeBeginnings) {
  KeyValueCache cache(small_layout(), 4);
  const Ids ids(3 * kPageSize, 7);
  CachedSequence first, second, again;
  ASSERT_TRUE(cache.extend(first, 3 * kPage));
  cache.enter(first, {}, ids);
  cache.release(first);
  EXPECT_EQ(cache.kept_blocks(), 3);
  ASSERT_TRUE(cache.extend(second, 2 * kPage));
  EXPECT_EQ(cache.kept_blocks(), 2);
  EXPECT_EQ(cache.reuse(again, {}, ids), 2 * kPage);
  EXPECT_FALSE(cache.extend(again, 3 * kPage));
  cache.release(second);
  EXPECT_TRUE(cache.extend(again, 3 * kPage));
}

}  // namespace
}  // namespace millrace
