#include "millrace/kernels/rope.h"

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/rope.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

struct Pair {
  Floats first, second;
};

/// Turned by an angle with these cosine and sine. Products and sums are rounded one by one, so the
/// scalar tail below gives the same bits.
HWY_INLINE Pair turn(Pair x, Floats c, Floats s) {
  return {hn::Sub(hn::Mul(x.first, c), hn::Mul(x.second, s)),
          hn::Add(hn::Mul(x.second, c), hn::Mul(x.first, s))};
}

HWY_INLINE void turn_one(float& first, float& second, float c, float s) {
  const float a = first, b = second;
  first = a * c - b * s;
  second = b * c + a * s;
}

/// Rotates one head; `sign` is that of the angles.
HWY_INLINE void turn_head(const float* cos, const float* sin, int64_t half, RopePairing pairing,
                          float sign, float* head) {
  const Tag tag;
  const Floats signs = set(sign);
  const int64_t step = lanes();
  int64_t i = 0;
  if (pairing == RopePairing::half_split) {
    for (; i + step <= half; i += step) {
      const Pair y = turn({load(head + i), load(head + half + i)}, load(cos + i),
                          hn::Mul(signs, load(sin + i)));
      store(y.first, head + i);
      store(y.second, head + half + i);
    }
    for (; i < half; ++i) turn_one(head[i], head[half + i], cos[i], sign * sin[i]);
  } else {
    for (; i + step <= half; i += step) {
      Floats first, second;
      hn::LoadInterleaved2(tag, head + 2 * i, first, second);
      const Pair y = turn({first, second}, load(cos + i), hn::Mul(signs, load(sin + i)));
      hn::StoreInterleaved2(y.first, y.second, tag, head + 2 * i);
    }
    for (; i < half; ++i) turn_one(head[2 * i], head[2 * i + 1], cos[i], sign * sin[i]);
  }
}

void turn_row(const float* cos, const float* sin, int64_t half, int64_t heads, int64_t head_dim,
              RopePairing pairing, float sign, float* row) {
  for (int64_t h = 0; h < heads; ++h) {
    turn_head(cos, sin, half, pairing, sign, row + h * head_dim);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(turn_row);

void rotate(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
            int64_t head_dim, int64_t row_stride, RopePairing pairing, float sign, float* x) {
  const auto row = MILLRACE_DISPATCH(turn_row);
  parallel_ranges(rows, rows_a_part(heads * head_dim), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t angles = positions[r] * table.half;
      row(table.cos.data() + angles, table.sin.data() + angles, table.half, heads, head_dim,
          pairing, sign, x + r * row_stride);
    }
  });
}

}  // namespace

void rope_forward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                  int64_t head_dim, int64_t row_stride, RopePairing pairing, float* x) {
  rotate(table, positions, rows, heads, head_dim, row_stride, pairing, 1, x);
}

void rope_backward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                   int64_t head_dim, int64_t row_stride, RopePairing pairing, float* dx) {
  rotate(table, positions, rows, heads, head_dim, row_stride, pairing, -1, dx);
}

}  // namespace millrace
#endif  // HWY_ONCE
