#include "millrace/kernels/linear_attention.h"

#include <algorithm>
#include <cmath>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/linear_attention.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

#ifndef MILLRACE_LINEAR_ATTENTION_HEAD
#define MILLRACE_LINEAR_ATTENTION_HEAD
namespace millrace {
namespace {

/// One head of one segment. Rows are `stride` floats apart, in the order of reading.
struct HeadRows {
  const float *q, *k, *v;
  float* out;
  int64_t stride, count, head_dim;
  float decay;
  float* state;
};

/// Columns of a state that one thread works on: those of a strip, all rows of which stay in the
/// first cache, depend on no others.
constexpr int64_t kStripColumns = 32;

}  // namespace
}  // namespace millrace
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// Tokens that share a pass over a strip, in registers; each sees the state that it made.
template <int kTokens, typename Load, typename Store>
HWY_INLINE void read_tokens(const HeadRows& rows, int64_t first, int64_t column, const Load& at,
                            const Store& put) {
  const Floats decay = set(rows.decay);
  const int64_t begin = first * rows.stride;
  Floats sums[kTokens], values[kTokens];
  for (int t = 0; t < kTokens; ++t) {
    sums[t] = set(0.0f);
    values[t] = at(rows.v + begin + t * rows.stride + column);
  }
  for (int64_t i = 0; i < rows.head_dim; ++i) {
    float* cells = rows.state + i * rows.head_dim + column;
    Floats s = at(cells);
    for (int t = 0; t < kTokens; ++t) {
      const int64_t row = begin + t * rows.stride + i;
      s = hn::MulAdd(set(rows.k[row]), values[t], hn::Mul(decay, s));
      sums[t] = hn::MulAdd(set(rows.q[row]), s, sums[t]);
    }
    put(s, cells);
  }
  for (int t = 0; t < kTokens; ++t) put(sums[t], rows.out + begin + t * rows.stride + column);
}

template <typename Load, typename Store>
HWY_INLINE void read_columns(const HeadRows& rows, int64_t column, const Load& at,
                             const Store& put) {
  constexpr int kTogether = 4;
  int64_t token = 0;
  for (; token + kTogether <= rows.count; token += kTogether) {
    read_tokens<kTogether>(rows, token, column, at, put);
  }
  for (; token < rows.count; ++token) read_tokens<1>(rows, token, column, at, put);
}

void linear_attention_strip(const HeadRows& rows, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + lanes() <= end; column += lanes()) {
    read_columns(
        rows, column, [](const float* p) HWY_ATTR { return load(p); },
        [](Floats x, float* p) HWY_ATTR { store(x, p); });
  }
  const int64_t left = end - column;
  if (left == 0) return;
  read_columns(
      rows, column, [=](const float* p) HWY_ATTR { return load_first(p, left); },
      [=](Floats x, float* p) HWY_ATTR { store_first(x, p, left); });
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(linear_attention_strip);

void clear_states(const LinearAttentionShape& shape, std::span<const StateSegment> segments) {
  for (const StateSegment& segment : segments) std::fill_n(segment.state, shape.state_size(), 0.0f);
}

}  // namespace

float linear_attention_decay(const LinearAttentionShape& shape, int64_t head) {
  const double exponent =
      -8.0 * static_cast<double>(head + 1) / static_cast<double>(shape.num_heads);
  return static_cast<float>(
      std::exp(-std::exp2(exponent) * static_cast<double>(shape.slope_factor)));
}

void linear_attention_forward(const LinearAttentionShape& shape,
                              std::span<const StateSegment> segments, TimeDirection direction,
                              const float* q, const float* k, const float* v, float* out) {
  const auto strip = MILLRACE_DISPATCH(linear_attention_strip);
  const int64_t dim = shape.head_dim, strips = (dim + kStripColumns - 1) / kStripColumns;
  const int64_t parts = shape.num_heads * strips;
  parallel_for(static_cast<int64_t>(segments.size()) * parts, [&](int64_t i) {
    const StateSegment& segment = segments[static_cast<size_t>(i / parts)];
    if (segment.count == 0) return;
    const int64_t head = i % parts / strips, column = i % strips * kStripColumns;
    const bool ascends = direction == TimeDirection::forward;
    const int64_t row = segment.begin + (ascends ? 0 : segment.count - 1);
    const int64_t at = row * shape.width() + head * dim;
    strip(
        {q + at, k + at, v + at, out + at, ascends ? shape.width() : -shape.width(), segment.count,
         dim, linear_attention_decay(shape, head), segment.state + head * dim * dim},
        column, std::min(dim, column + kStripColumns));
  });
}

// With S the states and D their gradients, which go back in time as states go forward:
// dq = dout S^T, D = decay D + q^T dout, dk = v D^T, dv = k D. Each is the forward function of
// other arguments.
void linear_attention_backward(const LinearAttentionShape& shape,
                               std::span<const StateSegment> segments, const float* q,
                               const float* k, const float* v, const float* dout, float* dq,
                               float* dk, float* dv) {
  clear_states(shape, segments);
  linear_attention_forward(shape, segments, TimeDirection::forward, dout, v, k, dq);
  clear_states(shape, segments);
  linear_attention_forward(shape, segments, TimeDirection::backward, v, dout, q, dk);
  clear_states(shape, segments);
  linear_attention_forward(shape, segments, TimeDirection::backward, k, q, dout, dv);
}

}  // namespace millrace
#endif  // HWY_ONCE
