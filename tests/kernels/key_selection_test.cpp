#include "millrace/kernels/key_selection.h"

#include <hwy/aligned_allocator.h>

#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

/// Whole numbers, whose products are exact: many scores are the same.
std::vector<float> whole_values(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(random.below(5)) - 2;
  return values;
}

std::vector<KeySelector> selectors() {
  return {{.num_heads = 4, .head_dim = 20, .count = 9},
          {.num_heads = 70, .head_dim = 7, .count = 40},
          {.num_heads = 3, .head_dim = 16, .count = 1},
          {.num_heads = 2, .head_dim = 33, .count = 500},
          {.num_heads = 4, .head_dim = 20, .count = 3, .block_size = 16, .heads_choose = true},
          {.num_heads = 2,
           .head_dim = 20,
           .count = 3,
           .block_size = 24,
           .local_blocks = 2,
           .heads_choose = true},
          {.num_heads = 2,
           .head_dim = 8,
           .count = 2,
           .block_size = 128,
           .local_blocks = 1,
           .heads_choose = true}};
}

/// Sequences whose tokens stand in a batch one after the other, and the indexer's keys of each in
/// pages of its own.
struct Batch {
  std::vector<float> q, k, weights;
  std::vector<AttentionSegment> segments;
  std::vector<hwy::AlignedFreeUniquePtr<std::byte[]>> owned;
  std::vector<std::vector<std::byte*>> pages;
  int64_t rows = 0, words = 5;

  Batch(const KeySelector& how, DType dtype, const std::vector<int64_t>& lengths) {
    for (int64_t length : lengths) {
      segments.push_back({rows, length, 0, {}});
      rows += length;
    }
    q = whole_values(rows * how.num_heads * how.head_dim, 1);
    k = whole_values(rows * how.head_dim, 2);
    weights = whole_values(rows * how.num_heads, 3);
    for (AttentionSegment& segment : segments) {
      std::vector<std::byte*>& own = pages.emplace_back();
      const size_t bytes = page_bytes(how.shape(), dtype);
      for (int64_t p = 0; p < segment.query_count; p += kPageSize) {
        owned.push_back(hwy::AllocateAligned<std::byte>(bytes));
        std::memset(owned.back().get(), 0xff, bytes);  // NaNs, where nothing is stored
        own.push_back(owned.back().get());
      }
    }
    for (size_t i = 0; i < segments.size(); ++i) segments[i].pages = pages[i];
    store_keys_values(how.shape(), dtype, segments, k.data(), k.data());
  }

  std::vector<uint64_t> empty(const KeySelector& how) const {
    return std::vector<uint64_t>(static_cast<size_t>(rows * how.sets() * words), 0x5555);
  }
  std::vector<uint64_t> run(const KeySelector& how, DType dtype) const {
    std::vector<uint64_t> bits = empty(how);
    select_keys(how, dtype, segments, q.data(), weights.data(), words, bits.data());
    return bits;
  }
};

const std::vector<int64_t> kLengths = {70, 1, 0, 200, 33, 64};

TEST(KeySelection, IsTheReferences) {
  for (const KeySelector& how : selectors()) {
    for (DType dtype : {DType::f32, DType::bf16}) {
      const Batch batch(how, dtype, kLengths);
      std::vector<uint64_t> expected = batch.empty(how);
      reference::select_keys(how, batch.segments, batch.q.data(), batch.k.data(),
                             batch.weights.data(), batch.words, expected.data());
      for_each_isa([&] { EXPECT_EQ(batch.run(how, dtype), expected) << how.num_heads; });
    }
  }
}

TEST(KeySelection, DoesNotDependOnChunks) {
  for (const KeySelector& how : selectors()) {
    const Batch batch(how, DType::bf16, {200});
    const std::vector<uint64_t> whole = batch.run(how, DType::bf16);
    std::vector<uint64_t> parts = batch.empty(how);
    int64_t begin = 0;
    for (int64_t count : {1, 62, 3, 70, 64}) {
      const AttentionSegment segment{begin, count, begin, batch.pages[0]};
      select_keys(how, DType::bf16, {&segment, 1}, batch.q.data(), batch.weights.data(),
                  batch.words, parts.data());
      begin += count;
    }
    EXPECT_EQ(parts, whole);
  }
}

TEST(KeySelection, DoesNotDependOnThreads) {
  for (const KeySelector& how : selectors()) {
    const Batch batch(how, DType::f32, kLengths);
    const std::vector<uint64_t> expected = batch.run(how, DType::f32);
    const int before = num_threads();
    for (int threads : {1, 3}) {
      set_num_threads(threads);
      EXPECT_EQ(batch.run(how, DType::f32), expected);
    }
    set_num_threads(before);
  }
}

TEST(KeySelection, ScoresThatAreNoNumbersComeLast) {
  const KeySelector how{.num_heads = 1, .head_dim = 4, .count = 2};
  Batch batch(how, DType::f32, {4});
  std::fill(batch.q.begin(), batch.q.end(), 1.0f);
  std::fill(batch.weights.begin(), batch.weights.end(), 1.0f);
  std::fill(batch.k.begin(), batch.k.end(), 0.0f);
  batch.k[0] = batch.k[5] = NAN;
  store_keys_values(how.shape(), DType::f32, batch.segments, batch.k.data(), batch.k.data());
  EXPECT_EQ(batch.run(how, DType::f32)[static_cast<size_t>(3 * batch.words)], 0b1100u);
}

TEST(KeySelection, RefusesWhatCannotBe) {
  const KeySelector good = selectors()[5];
  validate(good, "test");
  for (auto member : {&KeySelector::num_heads, &KeySelector::head_dim, &KeySelector::count,
                      &KeySelector::block_size, &KeySelector::local_blocks}) {
    KeySelector bad = good;
    bad.*member = -1;
    EXPECT_THROW(validate(bad, "test"), Error);
  }
  KeySelector wide = good;
  wide.head_dim = 513;
  EXPECT_THROW(validate(wide, "test"), Error);
}

}  // namespace
}  // namespace millrace
