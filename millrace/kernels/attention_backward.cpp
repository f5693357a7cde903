// The gradient of attention. Weights are computed again from the saved log-sum-exp, tile by tile
// (Dao et al. 2022). One part is a segment and key-value head with all the heads that share it, so
// parts write apart and each sums in one order.
#include <hwy/aligned_allocator.h>

#include <algorithm>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/attention_backward.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/attention_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// Pointers to rows of one head, `stride` apart.
template <int kRows, typename T>
struct RowPointers {
  T* at[kRows];
  HWY_INLINE RowPointers(T* first, int64_t stride) {
    for (int m = 0; m < kRows; ++m) at[m] = first + m * stride;
  }
};

/// scores[i, j] = rows[i] . keys[:, j], for `count` rows and the keys that row i sees, which end at
/// first_end + i, or at kPageSize.
HWY_INLINE void score_queries(const float* rows, int64_t stride, int64_t count, const float* keys,
                              int64_t dim, int64_t first_end, float* scores) {
  for_row_tiles(count, [&](auto size, int64_t r) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, const float> pointers(rows + r * stride, stride);
    const int64_t end = std::clamp<int64_t>(first_end + r + kRows - 1, 0, kPageSize);
    score_rows<kRows>(pointers.at, keys, dim, 0, end, scores + r * kPageSize);
  });
}

/// One query's scores become weights p = exp(scale * score - log_sum_exp), and its products dp of
/// dout and values the gradient of the scores, scale * p * (dp - drift); zero outside [begin, end).
HWY_INLINE void weigh_row(int64_t begin, int64_t end, float scale, float log_sum_exp, float drift,
                          float* scores, float* products) {
  const int64_t step = lanes();
  const Floats low = set(static_cast<float>(begin)), high = set(static_cast<float>(end));
  const Floats factor = set(scale), top = set(log_sum_exp), middle = set(drift);
  for (int64_t j = 0; j < kPageSize; j += step) {
    if (j >= end || j + step <= begin) {
      store(hn::Zero(Tag()), scores + j);
      store(hn::Zero(Tag()), products + j);
      continue;
    }
    const Floats index = hn::Iota(Tag(), static_cast<float>(j));
    const auto seen = hn::And(hn::Ge(index, low), hn::Lt(index, high));
    const Floats weight = hn::IfThenElseZero(seen, exp(hn::MulSub(load(scores + j), factor, top)));
    const Floats change = hn::Sub(load(products + j), middle);
    store(weight, scores + j);
    store(hn::IfThenElseZero(seen, hn::Mul(hn::Mul(weight, factor), change)), products + j);
  }
}

/// sums[j] += weights[i, j] * rows[i] for `keys` rows of sums, over the queries i that can see
/// them.
HWY_INLINE void add_to_keys(const float* weights, int64_t queries, int64_t first_end, int64_t keys,
                            const float* rows, int64_t stride, int64_t dim, float* sums,
                            int64_t sums_stride) {
  for_row_tiles(keys, [&](auto size, int64_t j) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, float> pointers(sums + j * sums_stride, sums_stride);
    const int64_t begin = std::clamp<int64_t>(j + 1 - first_end, 0, queries);
    sum_rows<kRows>(Weights<true>{weights + j}, begin, queries, rows, stride, dim, pointers.at);
  });
}

/// sums[i] += weights[i, j] * rows[j] for `queries` rows of sums, over the keys that they see.
HWY_INLINE void add_to_queries(const float* weights, int64_t queries, int64_t first_end,
                               int64_t keys, const float* rows, int64_t stride, int64_t dim,
                               float* sums, int64_t sums_stride) {
  for_row_tiles(queries, [&](auto size, int64_t i) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, float> pointers(sums + i * sums_stride, sums_stride);
    const int64_t end = std::clamp<int64_t>(first_end + i + kRows - 1, 0, keys);
    sum_rows<kRows>(Weights<false>{weights + i * kPageSize}, 0, end, rows, stride, dim,
                    pointers.at);
  });
}

/// Writes dq, dk and dv of one segment and key-value head.
void backward_part(const BackwardArguments& a, const AttentionSegment& segment, int64_t kv_head,
                   float* scratch) {
  const AttentionShape& shape = a.shape;
  const int64_t dim = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  const int64_t length = segment.query_count;
  const int64_t q_stride = shape.num_heads * dim, k_stride = shape.num_kv_heads * dim;
  const int64_t window = shape.sliding_window > 0 ? shape.sliding_window : length;
  float* keys = scratch;  // [dim, kPageSize], as are the values
  float* values = keys + dim * kPageSize;
  float* weights = values + dim * kPageSize;  // [kQueryTile, kPageSize]
  float* products = weights + kQueryTile * kPageSize;
  float* drifts = products + kQueryTile * kPageSize;  // [group, length]: dout . out

  for (int64_t g = 0; g < group; ++g) {
    for (int64_t i = 0; i < length; ++i) {
      const int64_t at = (segment.query_begin + i) * q_stride + (kv_head * group + g) * dim;
      const float *y = a.out + at, *dy = a.dout + at;
      drifts[g * length + i] = sum_terms(
          dim, [=](auto at_row, auto) HWY_ATTR { return hn::Mul(at_row(y), at_row(dy)); });
      fill_zero(a.dq + at, dim);
    }
  }
  for (int64_t key = 0; key < length; key += kPageSize) {
    const int64_t count = std::min(kPageSize, length - key);
    const int64_t k_at = segment.query_begin * k_stride + key * k_stride + kv_head * dim;
    if (count < kPageSize) std::fill_n(keys, 2 * dim * kPageSize, 0.0f);
    transpose(a.k + k_at, k_stride, count, dim, keys);
    transpose(a.v + k_at, k_stride, count, dim, values);
    for (int64_t j = 0; j < count; ++j) {
      fill_zero(a.dk + k_at + j * k_stride, dim);
      fill_zero(a.dv + k_at + j * k_stride, dim);
    }
    const int64_t first = shape.causal ? key : 0;
    const int64_t last = shape.causal ? std::min(length, key + count - 1 + window) : length;
    for (int64_t g = 0; g < group; ++g) {
      for (int64_t query = first; query < last; query += kQueryTile) {
        const int64_t queries = std::min(kQueryTile, last - query);
        const int64_t row = segment.query_begin + query, head = kv_head * group + g;
        const int64_t q_at = row * q_stride + head * dim;
        // Query i of the tile sees the block's keys before first_end + i.
        const int64_t first_end = shape.causal ? query - key + 1 : kPageSize;
        score_queries(a.q + q_at, q_stride, queries, keys, dim, first_end, weights);
        score_queries(a.dout + q_at, q_stride, queries, values, dim, first_end, products);
        for (int64_t i = 0; i < queries; ++i) {
          const int64_t end = std::min(count, first_end + i);
          const int64_t begin = std::max<int64_t>(0, query + i + 1 - window - key);
          weigh_row(begin, end, shape.scale, a.log_sum_exp[(row + i) * shape.num_heads + head],
                    drifts[g * length + query + i], weights + i * kPageSize,
                    products + i * kPageSize);
        }
        add_to_keys(weights, queries, first_end, count, a.dout + q_at, q_stride, dim, a.dv + k_at,
                    k_stride);
        add_to_keys(products, queries, first_end, count, a.q + q_at, q_stride, dim, a.dk + k_at,
                    k_stride);
        add_to_queries(products, queries, first_end, count, a.k + k_at, k_stride, dim, a.dq + q_at,
                       q_stride);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(backward_part);

}  // namespace

void attention_backward(const AttentionShape& shape, std::span<const AttentionSegment> segments,
                        const float* q, const float* k, const float* v, const float* out,
                        const float* dout, const float* log_sum_exp, float* dq, float* dk,
                        float* dv) {
  const BackwardArguments arguments{shape, q, k, v, out, dout, log_sum_exp, dq, dk, dv};
  const auto part = MILLRACE_DISPATCH(backward_part);
  const auto count = static_cast<int64_t>(segments.size()) * shape.num_kv_heads;
  parallel_for(count, [&](int64_t i) {
    const AttentionSegment& segment = segments[static_cast<size_t>(i / shape.num_kv_heads)];
    if (segment.query_count == 0) return;
    auto scratch = hwy::AllocateAligned<float>(
        static_cast<size_t>(backward_scratch(shape, segment.query_count)));
    part(arguments, segment, i % shape.num_kv_heads, scratch.get());
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
