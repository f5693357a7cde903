// Attention forwards: online softmax (Milakov and Gimelshein 2018; Dao et al. 2022) over the pages
// of the cache, in ascending order of absolute position.
#include "millrace/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/attention.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/attention_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// A row's keys in a block, counted from the block's first.
struct KeyRange {
  int64_t begin, end;
};

/// The softmax of a row so far: the greatest score, and a vector of sums of exponentials.
struct SoftmaxState {
  alignas(64) float sums[kMaxLanes];
  float greatest;
};

/// Takes a block's scores into a row's softmax: turns those of the keys in `range` into weights,
/// the others into zeros, and scales what `out` holds to the new greatest score.
HWY_INLINE void update_row(KeyRange range, float scale, int64_t dim, float* scores,
                           SoftmaxState& state, float* out) {
  const Tag tag;
  const int64_t step = lanes();
  const int64_t first = range.begin / step * step;
  const Floats low = set(static_cast<float>(range.begin)),
               high = set(static_cast<float>(range.end));
  const auto in_range = [&](int64_t j) HWY_ATTR {
    const Floats index = hn::Iota(tag, static_cast<float>(j));
    return hn::And(hn::Ge(index, low), hn::Lt(index, high));
  };
  Floats best = set(-std::numeric_limits<float>::infinity());
  for (int64_t j = first; j < range.end; j += step) {
    best = hn::Max(hn::IfThenElse(in_range(j), load(scores + j), best), best);
  }
  const float greatest = std::max(state.greatest, hn::GetLane(hn::MaxOfLanes(tag, best)) * scale);
  Floats sums = load(state.sums);
  if (greatest > state.greatest) {
    const Floats shrink = exp_nonpositive(set(state.greatest - greatest));
    sums = hn::Mul(sums, shrink);
    for_vectors(dim, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(at(out), shrink), out); });
    state.greatest = greatest;
  }
  const Floats factor = set(scale), top = set(greatest);
  for (int64_t j = first; j < range.end; j += step) {
    const Floats weight = exp_nonpositive(hn::MulSub(load(scores + j), factor, top));
    const Floats kept = hn::IfThenElseZero(in_range(j), weight);
    store(kept, scores + j);
    sums = hn::Add(sums, kept);
  }
  store(sums, state.sums);
}

/// outs[m] += weights[m] times the values in row m's own range: together where all ranges overlap,
/// one by one before and behind, so no row touches a value that it must not see.
template <int kRows, typename T>
HWY_INLINE void add_values(const KeyRange* ranges, const float* weights, const T* values,
                           int64_t dim, float* const* outs) {
  KeyRange common = ranges[0];
  for (int m = 1; m < kRows; ++m) {
    common.begin = std::max(common.begin, ranges[m].begin);
    common.end = std::min(common.end, ranges[m].end);
  }
  common.end = std::max(common.begin, common.end);
  const auto alone = [&](int m, int64_t begin, int64_t end) HWY_ATTR {
    if (begin >= end) return;
    sum_rows<1>(Weights<false>{weights + m * kPageSize}, begin, end, values, dim, dim, outs + m);
  };
  for (int m = 0; m < kRows; ++m) {
    alone(m, ranges[m].begin, std::min(common.begin, ranges[m].end));
  }
  if (common.begin < common.end) {
    sum_rows<kRows>(Weights<false>{weights}, common.begin, common.end, values, dim, dim, outs);
  }
  for (int m = 0; m < kRows; ++m) {
    alone(m, std::max(common.end, ranges[m].begin), ranges[m].end);
  }
}

/// The rows of a block and how far each has come.
struct Rows {
  int64_t count;
  const float* queries[kRowsAtOnce];
  float* outs[kRowsAtOnce];
  float* log_sum_exps[kRowsAtOnce];
  KeyRange visible[kRowsAtOnce] = {};  // absolute positions
  SoftmaxState states[kRowsAtOnce];
};

HWY_INLINE void start_rows(const AttentionShape& shape, const RowBlock& block, const float* q,
                           float* out, float* log_sum_exp, Rows& rows) {
  const AttentionSegment& segment = *block.segment;
  const int64_t dim = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  rows.count = block.end - block.begin;
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t query = (block.begin + r) / group;
    const int64_t head = block.kv_head * group + (block.begin + r) % group;
    const int64_t row = (segment.query_begin + query) * shape.num_heads + head;
    rows.queries[r] = q + row * dim;
    rows.outs[r] = out + row * dim;
    rows.log_sum_exps[r] = log_sum_exp ? log_sum_exp + row : nullptr;
    const int64_t end = segment.first_position + query + 1;
    rows.visible[r].begin =
        shape.sliding_window > 0 ? std::max<int64_t>(0, end - shape.sliding_window) : 0;
    rows.visible[r].end = shape.causal ? end : segment.first_position + segment.query_count;
    rows.states[r].greatest = -std::numeric_limits<float>::infinity();
    std::fill_n(rows.states[r].sums, kMaxLanes, 0.0f);
    fill_zero(rows.outs[r], dim);
  }
}

/// Takes the keys and values of one head in one page into all rows.
template <typename T>
HWY_INLINE void attend_page(const AttentionShape& shape, const T* keys, const T* values,
                            int64_t first_position, Rows& rows) {
  const int64_t dim = shape.head_dim;
  for_row_tiles(rows.count, [&](auto size, int64_t r) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    alignas(64) float scores[kRows * kPageSize];
    KeyRange ranges[kRows];
    for (int m = 0; m < kRows; ++m) {
      const KeyRange visible = rows.visible[r + m];
      ranges[m].begin = std::clamp<int64_t>(visible.begin - first_position, 0, kPageSize);
      ranges[m].end = std::clamp<int64_t>(visible.end - first_position, 0, kPageSize);
    }
    // Later rows begin and end no earlier.
    score_rows<kRows>(rows.queries + r, keys, dim, ranges[0].begin, ranges[kRows - 1].end, scores);
    for (int m = 0; m < kRows; ++m) {
      if (ranges[m].begin >= ranges[m].end) continue;
      update_row(ranges[m], shape.scale, dim, scores + m * kPageSize, rows.states[r + m],
                 rows.outs[r + m]);
    }
    add_values<kRows>(ranges, scores, values, dim, rows.outs + r);
  });
}

HWY_INLINE void finish_rows(int64_t dim, Rows& rows) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const float sum = sum_of_lanes(load(rows.states[r].sums));
    const Floats inverse = set(1 / sum);
    float* y = rows.outs[r];
    for_vectors(dim, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(at(y), inverse), y); });
    if (rows.log_sum_exps[r]) {
      *rows.log_sum_exps[r] = rows.states[r].greatest + static_cast<float>(std::log(double{sum}));
    }
  }
}

template <typename T>
HWY_INLINE void attend(const AttentionShape& shape, const RowBlock& block, const float* q,
                       float* out, float* log_sum_exp) {
  Rows rows;
  start_rows(shape, block, q, out, log_sum_exp, rows);
  const int64_t head_values = shape.head_dim * kPageSize;
  const int64_t end = rows.visible[rows.count - 1].end;
  for (int64_t p = rows.visible[0].begin / kPageSize; p * kPageSize < end; ++p) {
    const T* page = reinterpret_cast<const T*>(block.segment->pages[static_cast<size_t>(p)]);
    attend_page(shape, page + block.kv_head * head_values,
                page + (shape.num_kv_heads + block.kv_head) * head_values, p * kPageSize, rows);
  }
  finish_rows(shape.head_dim, rows);
}

void attend_f32(const AttentionShape& shape, const RowBlock& block, const float* q, float* out,
                float* log_sum_exp) {
  attend<float>(shape, block, q, out, log_sum_exp);
}

void attend_bf16(const AttentionShape& shape, const RowBlock& block, const float* q, float* out,
                 float* log_sum_exp) {
  attend<BFloat16>(shape, block, q, out, log_sum_exp);
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(attend_f32);
HWY_EXPORT(attend_bf16);

/// Products of a query's and a key's values that are worth waking another thread for.
constexpr int64_t kParallelWork = 20000;

}  // namespace

void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp) {
  static thread_local std::vector<RowBlock> list;  // kept, so that decoding does not allocate
  list.clear();
  const int64_t group = shape.num_heads / shape.num_kv_heads;
  int64_t work = 0;
  for (const AttentionSegment& segment : segments) {
    const int64_t rows = segment.query_count * group;
    work +=
        rows * shape.num_kv_heads * shape.head_dim * (segment.first_position + segment.query_count);
    for (int64_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
      for (int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
        list.push_back({&segment, kv_head, begin, std::min(rows, begin + kRowsAtOnce)});
      }
    }
  }
  const auto attend =
      dtype == DType::f32 ? MILLRACE_DISPATCH(attend_f32) : MILLRACE_DISPATCH(attend_bf16);
  const RowBlock* blocks = list.data();
  const auto count = static_cast<int64_t>(list.size());
  const int64_t grain = work < kParallelWork ? std::max<int64_t>(count, 1) : 1;
  parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) attend(shape, blocks[i], q, out, log_sum_exp);
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
