// The gradient of attention. Weights are computed again from the saved log-sum-exp, tile by tile
// (Dao et al. 2022). One part is a segment and key-value head with all the heads that share it, so
// parts write apart and each sums in one order.
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/attention_parts.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/attention_backward.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/attention_scores-inl.h"
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

/// Which of a block's keys a tile's queries see: query i those before key end(i).
struct Reach {
  int64_t first_end;  // of query 0; that of the next is one further
  int64_t least;      // all see the keys before this one

  HWY_INLINE int64_t end(int64_t query) const { return std::max(first_end + query, least); }
  HWY_INLINE int64_t end_of_rows(int64_t last, int64_t keys) const {
    return std::clamp<int64_t>(end(last), 0, keys);
  }
  /// The first query that sees a key.
  HWY_INLINE int64_t first_query(int64_t key, int64_t queries) const {
    return key < least ? 0 : std::clamp<int64_t>(key + 1 - first_end, 0, queries);
  }
};

/// scores[i, j] = rows[i] . keys[:, j], for `count` rows and the keys that row i sees.
HWY_INLINE void score_queries(const float* rows, int64_t stride, int64_t count, const float* keys,
                              int64_t dim, const Reach& reach, float* scores) {
  for_row_tiles(count, [&](auto size, int64_t r) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, const float> pointers(rows + r * stride, stride);
    const int64_t end = reach.end_of_rows(r + kRows - 1, kPageSize);
    score_rows<kRows>(pointers.at, keys, dim, 0, end, scores + r * kPageSize);
  });
}

/// What weigh_row asks of a score: how far it is from `top`, and its slope in the product.
struct Distance {
  Floats value, slope;
};

/// Scores that are scaled products.
struct ScaledProducts {
  float scale;
  HWY_INLINE Distance from(Floats top, Floats product, int64_t) const {
    return {hn::MulSub(product, set(scale), top), set(scale)};
  }
};

/// Scores of any form.
struct ShapedProducts {
  ScoreForm form;
  HWY_INLINE Distance from(Floats top, Floats product, int64_t j) const {
    const ScoreForm::Score score = form.at(product, j);
    return {hn::Sub(score.value, top), score.slope};
  }
};

/// One query's products with keys become weights p = exp(score - log_sum_exp), and its products dp
/// of dout and values the gradient of the former, slope * p * (dp - drift); zero outside
/// [begin, end).
template <typename Scores>
HWY_INLINE void weigh_row(int64_t begin, int64_t end, const Scores& form, float log_sum_exp,
                          float drift, float* scores, float* products) {
  const int64_t step = lanes();
  const Floats low = set(static_cast<float>(begin)), high = set(static_cast<float>(end));
  const Floats top = set(log_sum_exp), middle = set(drift);
  for (int64_t j = 0; j < kPageSize; j += step) {
    if (j >= end || j + step <= begin) {
      store(hn::Zero(Tag()), scores + j);
      store(hn::Zero(Tag()), products + j);
      continue;
    }
    const Floats index = hn::Iota(Tag(), static_cast<float>(j));
    const auto seen = hn::And(hn::Ge(index, low), hn::Lt(index, high));
    const Distance distance = form.from(top, load(scores + j), j);
    const Floats weight = hn::IfThenElseZero(seen, exp(distance.value));
    const Floats change = hn::Sub(load(products + j), middle);
    store(weight, scores + j);
    store(hn::IfThenElseZero(seen, hn::Mul(hn::Mul(weight, distance.slope), change)), products + j);
  }
}

/// Takes a block's keys out of what one query gives and gets.
HWY_INLINE void hide(uint64_t hidden, float* weights, float* products) {
  for (; hidden != 0; hidden &= hidden - 1) {
    weights[std::countr_zero(hidden)] = products[std::countr_zero(hidden)] = 0;
  }
}

/// sums[j] += weights[i, j] * rows[i] for `keys` rows of sums, over the queries i that can see
/// them.
HWY_INLINE void add_to_keys(const float* weights, int64_t queries, const Reach& reach, int64_t keys,
                            const float* rows, int64_t stride, int64_t dim, float* sums,
                            int64_t sums_stride) {
  for_row_tiles(keys, [&](auto size, int64_t j) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, float> pointers(sums + j * sums_stride, sums_stride);
    const int64_t begin = reach.first_query(j, queries);
    sum_rows<kRows>(Weights<true>{weights + j}, begin, queries, rows, stride, dim, pointers.at);
  });
}

/// sums[i] += weights[i, j] * rows[j] for `queries` rows of sums, over the keys that they see.
HWY_INLINE void add_to_queries(const float* weights, int64_t queries, const Reach& reach,
                               int64_t keys, const float* rows, int64_t stride, int64_t dim,
                               float* sums, int64_t sums_stride) {
  for_row_tiles(queries, [&](auto size, int64_t i) HWY_ATTR {
    constexpr int kRows = decltype(size)::value;
    const RowPointers<kRows, float> pointers(sums + i * sums_stride, sums_stride);
    const int64_t end = reach.end_of_rows(i + kRows - 1, keys);
    sum_rows<kRows>(Weights<false>{weights + i * kPageSize}, 0, end, rows, stride, dim,
                    pointers.at);
  });
}

/// Adds the gradients of one query's scores to those of their biases: `products` are slope `scale`
/// times the former.
HWY_INLINE void add_to_bias(const float* products, float scale, float* bias) {
  const Floats inverse = set(1 / scale);
  for (int64_t j = 0; j < kPageSize; j += lanes()) {
    store(hn::MulAdd(load(products + j), inverse, load(bias + j)), bias + j);
  }
}

/// A part's segment and key-value head, and how its rows lie.
struct Part {
  const BackwardArguments& a;
  const AttentionSegment& segment;
  int64_t kv_head;
  BackwardScratch scratch;
  int64_t dim = a.shape.head_dim;
  int64_t group = a.shape.num_heads / a.shape.num_kv_heads;
  int64_t q_stride = a.shape.num_heads * dim, k_stride = a.shape.num_kv_heads * dim;

  /// Offset of a query's row in q, out and their gradients, and of a key's in k and v.
  HWY_INLINE int64_t q_at(int64_t query, int64_t g) const {
    return (segment.query_begin + query) * q_stride + (kv_head * group + g) * dim;
  }
  HWY_INLINE int64_t k_at(int64_t key) const {
    const int64_t begin = segment.key_begin < 0 ? segment.query_begin : segment.key_begin;
    return (begin + key) * k_stride + kv_head * dim;
  }
};

/// Fills the drifts, the sum over keys of weight times its gradient, and clears dq.
HWY_INLINE void start_queries(const Part& part) {
  for (int64_t g = 0; g < part.group; ++g) {
    for (int64_t i = 0; i < part.segment.query_count; ++i) {
      const float *y = part.a.out + part.q_at(i, g), *dy = part.a.dout + part.q_at(i, g);
      part.scratch.drifts[g * part.segment.query_count + i] =
          sum_terms(part.dim, [=](auto at, auto) HWY_ATTR { return hn::Mul(at(y), at(dy)); });
      fill_zero(part.a.dq + part.q_at(i, g), part.dim);
    }
  }
}

/// Transposes a block of keys and values and clears their gradients.
HWY_INLINE void start_keys(const Part& part, int64_t key, int64_t count) {
  const int64_t at = part.k_at(key), stride = part.k_stride;
  if (count < kPageSize) fill_zero(part.scratch.keys, 2 * part.dim * kPageSize);
  transpose(part.a.k + at, stride, count, part.dim, part.scratch.keys);
  transpose(part.a.v + at, stride, count, part.dim, part.scratch.values);
  for (int64_t j = 0; j < count; ++j) {
    fill_zero(part.a.dk + at + j * stride, part.dim);
    fill_zero(part.a.dv + at + j * stride, part.dim);
  }
}

/// Adds what `queries` queries of head g and a block of `count` keys give to each other's
/// gradients.
HWY_INLINE void add_tile(const Part& part, int64_t g, int64_t query, int64_t queries, int64_t key,
                         int64_t count) {
  const BackwardArguments& a = part.a;
  const AttentionShape& shape = a.shape;
  const int64_t dim = part.dim, q_stride = part.q_stride, k_stride = part.k_stride;
  const int64_t q_at = part.q_at(query, g), k_at = part.k_at(key);
  float *weights = part.scratch.weights, *products = part.scratch.products;
  const Reach reach{shape.causal ? query - key + 1 : kPageSize, part.segment.prefix - key};
  score_queries(a.q + q_at, q_stride, queries, part.scratch.keys, dim, reach, weights);
  score_queries(a.dout + q_at, q_stride, queries, part.scratch.values, dim, reach, products);
  const float* log_sum_exps = a.log_sum_exp + q_at / dim;  // of one head, num_heads apart
  const int64_t head = part.kv_head * part.group + g;
  const float slope = shape.alibi_max_bias > 0 ? alibi_slope(shape, head) : 0;
  const DistanceBias& bias = shape.distance_bias;
  const float* drifts = part.scratch.drifts + g * part.segment.query_count + query;
  for (int64_t i = 0; i < queries; ++i) {
    const int64_t end = std::min(count, reach.end(i)), distance = key - query - i;
    const int64_t begin = shape.sliding_window > 0 ? query + i + 1 - shape.sliding_window - key : 0;
    const auto weigh = [&](const auto& form) HWY_ATTR {
      weigh_row(begin, end, form, log_sum_exps[i * shape.num_heads], drifts[i],
                weights + i * kPageSize, products + i * kPageSize);
    };
    if (is_shaped(shape)) {
      const float* biases = bias.values ? bias.values + bias.at(head, distance) : nullptr;
      weigh(ShapedProducts{
          {shape.scale, shape.softcap, slope, static_cast<float>(distance), biases}});
    } else {
      weigh(ScaledProducts{shape.scale});
    }
    hide(~shape.selection.page(part.segment.query_begin + query + i, part.kv_head, key / kPageSize),
         weights + i * kPageSize, products + i * kPageSize);
    if (part.scratch.bias) {
      add_to_bias(products + i * kPageSize, shape.scale, part.scratch.bias + bias.at(g, distance));
    }
  }
  add_to_keys(weights, queries, reach, count, a.dout + q_at, q_stride, dim, a.dv + k_at, k_stride);
  add_to_keys(products, queries, reach, count, a.q + q_at, q_stride, dim, a.dk + k_at, k_stride);
  add_to_queries(products, queries, reach, count, a.k + k_at, k_stride, dim, a.dq + q_at, q_stride);
}

/// Writes dq, dk and dv of one segment and key-value head, and where wanted the gradient of its
/// heads' distance bias.
void backward_part(const BackwardArguments& arguments, const AttentionSegment& segment,
                   int64_t kv_head, float* scratch, float* bias) {
  const AttentionShape& shape = arguments.shape;
  const Part part{arguments, segment, kv_head, BackwardScratch(shape, scratch, bias)};
  const int64_t queries = segment.query_count, keys = num_keys(shape, segment);
  const int64_t window = shape.sliding_window > 0 ? shape.sliding_window : queries;
  start_queries(part);
  for (int64_t key = 0; key < keys; key += kPageSize) {
    const int64_t count = std::min(kPageSize, keys - key);
    start_keys(part, key, count);
    const int64_t first = shape.causal && key >= segment.prefix ? key : 0;
    const int64_t last = shape.causal ? std::min(queries, key + count - 1 + window) : queries;
    for (int64_t g = 0; g < part.group; ++g) {
      for (int64_t query = first; query < last; query += kQueryTile) {
        add_tile(part, g, query, std::min(kQueryTile, last - query), key, count);
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
                        float* dv, float* ddistance_bias) {
  const BackwardArguments arguments{shape, q, k, v, out, dout, log_sum_exp, dq, dk, dv};
  const auto part = MILLRACE_DISPATCH(backward_part);
  const auto count = static_cast<int64_t>(segments.size()) * shape.num_kv_heads;
  // A part's own, so that they can be added up in one order.
  const int64_t biases = shape.num_heads / shape.num_kv_heads * shape.distance_bias.width();
  std::vector<float> bias(ddistance_bias ? static_cast<size_t>(count * biases) : 0);
  parallel_for(count, [&](int64_t i) {
    const AttentionSegment& segment = segments[static_cast<size_t>(i / shape.num_kv_heads)];
    if (segment.query_count == 0 && num_keys(shape, segment) == 0) return;
    auto scratch = hwy::AllocateAligned<float>(
        static_cast<size_t>(BackwardScratch::size(shape, segment.query_count)));
    part(arguments, segment, i % shape.num_kv_heads, scratch.get(),
         ddistance_bias ? bias.data() + i * biases : nullptr);
  });
  for (int64_t i = 0; i < static_cast<int64_t>(bias.size()); ++i) {
    ddistance_bias[i % (shape.num_kv_heads * biases)] += bias[static_cast<size_t>(i)];
  }
}

void attention_sinks_backward(const AttentionShape& shape, int64_t rows, const float* out,
                              const float* dout, const float* log_sum_exp, float* dsinks) {
  const int64_t dim = shape.head_dim;
  for (int64_t row = 0; row < rows * shape.num_heads; ++row) {
    const int64_t head = row % shape.num_heads;
    double drift = 0;  // sum over keys of weight times its gradient
    for (int64_t d = 0; d < dim; ++d) drift += double{out[row * dim + d]} * dout[row * dim + d];
    const double weight = std::exp(double{shape.sinks[head]} - log_sum_exp[row]);
    dsinks[head] -= static_cast<float>(weight * drift);
  }
}

}  // namespace millrace
#endif  // HWY_ONCE
