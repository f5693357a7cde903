// An indexer's scores are products of its queries with pages of its keys (dense_tile.h), page by
// page for a few queries at a time; then each query takes the best.
#include "millrace/kernels/key_selection.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention_parts.h"

namespace millrace {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr float kAlways = std::numeric_limits<float>::infinity();

/// Queries whose scores are kept at a time.
constexpr int64_t kQueriesAtOnce = 16;

/// Products of a query's and a key's values that are worth waking another thread for.
constexpr int64_t kParallelWork = 20000;

/// What this thread keeps, so that decoding does not allocate.
struct Scratch {
  hwy::AlignedFreeUniquePtr<std::byte[]> queries;  // [rows of kRowStride bytes]
  int64_t query_rows = 0;
  std::vector<float> scores;  // twice [queries, sets, positions], the second to be sorted

  void reserve(int64_t rows, int64_t count) {
    if (query_rows < rows) {
      queries = hwy::AllocateAligned<std::byte>(static_cast<size_t>(rows * kRowStride));
      query_rows = rows;
    }
    const auto needed = static_cast<size_t>(2 * count);
    if (scores.size() < needed) scores.resize(2 * needed);  // so that most texts grow without
  }
};

/// Successive queries of a segment.
struct Queries {
  const AttentionSegment& segment;
  int64_t begin, count;

  int64_t row(int64_t query) const { return segment.query_begin + begin + query; }
  /// The end of the keys that a query sees.
  int64_t end(int64_t query) const { return segment.first_position + begin + query + 1; }
};

/// The scores of one page's keys for all of the queries.
struct Scorer {
  const KeySelector& how;
  const DenseKernels& kernels;
  const PageLayout layout;
  const Queries& queries;
  const float* weights;
  const std::byte* packed;
  float* scores;
  int64_t positions;  // from set to set of them

  void score_page(int64_t page) const {
    for (int64_t i = 0; i < queries.count * how.sets(); ++i) {
      std::fill_n(scores + i * positions + page * kPageSize, kPageSize, 0.0f);
    }
    const int64_t rows = queries.count * how.num_heads, together = layout.together();
    alignas(64) std::array<float, kMaxTileRows * kPageSize> products;
    for (int64_t r = 0, count; r < rows; r += count) {
      count = std::min<int64_t>(kernels.max_rows, rows - r);
      kernels.tile(layout.dtype,
                   {.x = packed + r * kRowStride,
                    .w = layout.keys(queries.segment.pages[static_cast<size_t>(page)], 0),
                    .panel_stride = layout.key_panel,
                    .steps = (how.head_dim + together - 1) / together,
                    .y = products.data(),
                    .y_stride = kPageSize,
                    .rows = static_cast<int>(count),
                    .panels = static_cast<int>(layout.key_panels),
                    .accumulate = false});
      for (int64_t i = 0; i < count; ++i) {
        take(r + i, page, products.data() + i * kPageSize);
      }
    }
  }

  /// Takes one head's products of one query, heads in ascending order.
  void take(int64_t row, int64_t page, const float* products) const {
    const int64_t query = row / how.num_heads, head = row % how.num_heads;
    const int64_t set = how.heads_choose ? row : query;
    float* sums = scores + set * positions + page * kPageSize;
    if (how.heads_choose) {
      std::copy_n(products, kPageSize, sums);
      return;
    }
    const float weight = weights[queries.row(query) * how.num_heads + head];
    for (int64_t j = 0; j < kPageSize; ++j) sums[j] += weight * std::max(products[j], 0.0f);
  }
};

/// Scores of positions become those of blocks; returns how many there are. What is not a number
/// comes last.
int64_t score_blocks(const KeySelector& how, int64_t end, float* scores) {
  const int64_t blocks = (end + how.block_size - 1) / how.block_size;
  for (int64_t b = 0; b < blocks; ++b) {
    float best = kNever;
    const int64_t last = std::min(end, (b + 1) * how.block_size);
    for (int64_t j = b * how.block_size; j < last; ++j) best = std::max(best, scores[j]);
    scores[b] = b >= blocks - how.local_blocks ? kAlways : best;
  }
  return blocks;
}

/// The keys before `end` of the best `how.count` blocks, as bits; `sorted` has room for the scores.
void choose(const KeySelector& how, int64_t end, float* scores, float* sorted, int64_t words,
            uint64_t* bits) {
  std::fill_n(bits, words, uint64_t{0});
  const int64_t blocks = score_blocks(how, end, scores);
  float least = kNever;
  int64_t ties = blocks;  // how many of the least are taken
  if (blocks > how.count) {
    std::copy_n(scores, blocks, sorted);
    float* const nth = sorted + (how.count - 1);
    std::nth_element(sorted, nth, sorted + blocks, std::greater<>());
    least = *nth;
    ties = how.count - std::count_if(scores, scores + blocks, [&](float s) { return s > least; });
  }
  for (int64_t b = 0; b < blocks; ++b) {
    if (scores[b] < least || (scores[b] == least && ties-- <= 0)) continue;
    const int64_t last = std::min(end, (b + 1) * how.block_size);
    for (int64_t j = b * how.block_size; j < last; ++j) {
      bits[j / kPageSize] |= uint64_t{1} << j % kPageSize;
    }
  }
}

/// All that is asked for a few queries.
void select_for(const KeySelector& how, DType dtype, const Queries& queries, const float* q,
                const float* weights, int64_t words, uint64_t* bits) {
  static thread_local Scratch scratch;
  const int64_t end = queries.end(queries.count - 1), pages = (end + kPageSize - 1) / kPageSize;
  const int64_t positions = pages * kPageSize, rows = queries.count * how.num_heads;
  scratch.reserve(rows, queries.count * how.sets() * positions);
  const PageLayout layout(how.shape(), dtype);
  const DenseKernels& kernels = dense_kernels(layout.dtype);
  kernels.pack_x(
      {q + queries.row(0) * how.num_heads * how.head_dim, rows, how.head_dim, how.head_dim, 1},
      layout.arithmetic(), scratch.queries.get());
  float* scores = scratch.scores.data();
  const Scorer scorer{how,    kernels,  layout, queries, weights, scratch.queries.get(),
                      scores, positions};
  const int64_t grain = std::max<int64_t>(1, kParallelWork / (rows * how.head_dim * kPageSize));
  parallel_ranges(pages, grain, [&](int64_t begin, int64_t last) {
    for (int64_t page = begin; page < last; ++page) scorer.score_page(page);
  });
  parallel_for(queries.count * how.sets(), [&](int64_t i) {
    const int64_t query = i / how.sets(), set = i % how.sets();
    choose(how, queries.end(query), scores + i * positions,
           scores + (queries.count * how.sets() + i) * positions, words,
           bits + (queries.row(query) * how.sets() + set) * words);
  });
}

}  // namespace

AttentionShape KeySelector::shape() const {
  AttentionShape shape;
  shape.num_heads = num_heads;
  shape.num_kv_heads = 1;
  shape.head_dim = head_dim;
  shape.keys_only = true;
  return shape;
}

void validate(const KeySelector& selector, std::string_view source) {
  require(selector.num_heads > 0 && selector.num_heads <= 1024,
          "{}: an indexer has {} heads; it must have between 1 and 1024", source,
          selector.num_heads);
  require(selector.head_dim > 0 && selector.head_dim <= kDimsAtOnce,
          "{}: an indexer's heads have {} values; they must have between 1 and {}", source,
          selector.head_dim, kDimsAtOnce);
  require(selector.count > 0 && selector.block_size > 0 && selector.block_size <= 1 << 20,
          "{}: an indexer chooses {} blocks of {} keys; both must be positive", source,
          selector.count, selector.block_size);
  require(selector.local_blocks >= 0 && selector.local_blocks <= selector.count,
          "{}: an indexer chooses {} blocks, {} of them always", source, selector.count,
          selector.local_blocks);
}

void select_keys(const KeySelector& how, DType dtype, std::span<const AttentionSegment> segments,
                 const float* q, const float* weights, int64_t words, uint64_t* bits) {
  for (const AttentionSegment& segment : segments) {
    for (int64_t begin = 0; begin < segment.query_count; begin += kQueriesAtOnce) {
      const int64_t count = std::min(kQueriesAtOnce, segment.query_count - begin);
      select_for(how, dtype, {segment, begin, count}, q, weights, words, bits);
    }
  }
}

namespace reference {
namespace {

/// The score of a key at a position for one set.
double score_of(const KeySelector& how, const float* q, const float* k, const float* weights,
                int64_t set) {
  double sum = 0;
  for (int64_t h = how.heads_choose ? set : 0; h < (how.heads_choose ? set + 1 : how.num_heads);
       ++h) {
    double product = 0;
    for (int64_t d = 0; d < how.head_dim; ++d) product += double{q[h * how.head_dim + d]} * k[d];
    sum += how.heads_choose ? product : double{weights[h]} * std::max(product, 0.0);
  }
  return sum;
}

}  // namespace

void select_keys(const KeySelector& how, std::span<const AttentionSegment> segments, const float* q,
                 const float* k, const float* weights, int64_t words, uint64_t* bits) {
  for (const AttentionSegment& segment : segments) {
    for (int64_t i = 0; i < segment.query_count * how.sets(); ++i) {
      const int64_t position = i / how.sets(), row = segment.query_begin + position;
      const int64_t last = position / how.block_size;
      std::vector<std::pair<double, int64_t>> blocks;  // less the score, and which
      for (int64_t b = 0; b <= last; ++b) {
        double best = b > last - how.local_blocks ? INFINITY : -INFINITY;
        for (int64_t j = b * how.block_size; j <= std::min(position, (b + 1) * how.block_size - 1);
             ++j) {
          best = std::max(best, score_of(how, q + row * how.num_heads * how.head_dim,
                                         k + (segment.query_begin + j) * how.head_dim,
                                         weights + row * how.num_heads, i % how.sets()));
        }
        blocks.emplace_back(-best, b);
      }
      std::sort(blocks.begin(), blocks.end());
      blocks.resize(std::min(blocks.size(), static_cast<size_t>(how.count)));
      uint64_t* own = bits + (row * how.sets() + i % how.sets()) * words;
      std::fill_n(own, words, uint64_t{0});
      for (const auto& [score, b] : blocks) {
        for (int64_t j = b * how.block_size; j <= std::min(position, (b + 1) * how.block_size - 1);
             ++j) {
          own[j / kPageSize] |= uint64_t{1} << j % kPageSize;
        }
      }
    }
  }
}

}  // namespace reference
}  // namespace millrace
