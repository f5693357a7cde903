// The two inner loops of attention's gradient: a tile of scores (rows times transposed
// keys) and a tile of weighted sums (weights times rows). Every result is one chain of fused
// multiply-adds in ascending order, so no tile's size or place shows in the bits. Included once for
// each instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "millrace/kernels/attention.h"
#include "millrace/kernels/vector_math-inl.h"

#if defined(MILLRACE_ATTENTION_TILES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_ATTENTION_TILES_INL_H
#undef MILLRACE_ATTENTION_TILES_INL_H
#else
#define MILLRACE_ATTENTION_TILES_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

inline constexpr int64_t kMaxLanes = HWY_MAX_BYTES / sizeof(float);

HWY_INLINE Floats load_values(const float* p) {
  return load(p);
}
HWY_INLINE Floats load_values(const BFloat16* p) {
  const auto bits = hn::PromoteTo(UintTag(), hn::LoadU(HalfTag(), &p->bits));
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(bits));
}
/// The first `count` values at p; no byte behind them is read.
HWY_INLINE Floats load_first_values(const float* p, int64_t count) {
  return load_first(p, count);
}
HWY_INLINE Floats load_first_values(const BFloat16* p, int64_t count) {
  BFloat16 padded[kMaxLanes] = {};
  std::copy_n(p, count, padded);
  return load_values(padded);
}

HWY_INLINE void fill_zero(float* p, int64_t count) {
  for_vectors(count, [=](auto, auto put) HWY_ATTR { put(hn::Zero(Tag()), p); });
}

/// Calls body(size, r) with std::integral_constants for tiles of 6, then 3, 2 and 1 rows from r on,
/// until `rows` are covered.
template <typename Body>
HWY_INLINE void for_row_tiles(int64_t rows, const Body& body) {
  int64_t r = 0;
  for (; rows - r >= 6; r += 6) body(std::integral_constant<int, 6>(), r);
  if (rows - r >= 3) {
    body(std::integral_constant<int, 3>(), r);
    r += 3;
  }
  if (rows - r == 2) body(std::integral_constant<int, 2>(), r);
  if (rows - r == 1) body(std::integral_constant<int, 1>(), r);
}

/// scores[m, j] = rows[m] . keys[:, j] for kVectors vectors of keys. keys: [dim, kPageSize];
/// scores: [kRows, kPageSize].
template <int kRows, int kVectors, typename T>
HWY_INLINE void score_tile(const float* const* rows, const T* keys, int64_t dim, float* scores) {
  const int64_t step = lanes();
  Floats sums[kRows][kVectors];
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) sums[m][v] = hn::Zero(Tag());
  }
  for (int64_t d = 0; d < dim; ++d, keys += kPageSize) {
    Floats key[kVectors];
    for (int v = 0; v < kVectors; ++v) key[v] = load_values(keys + v * step);
    for (int m = 0; m < kRows; ++m) {
      const Floats x = set(rows[m][d]);
      for (int v = 0; v < kVectors; ++v) sums[m][v] = hn::MulAdd(x, key[v], sums[m][v]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) store(sums[m][v], scores + m * kPageSize + v * step);
  }
}

/// Scores of at least the keys [begin, end) of a block, as score_tile gives them.
template <int kRows, typename T>
HWY_INLINE void score_rows(const float* const* rows, const T* keys, int64_t dim, int64_t begin,
                           int64_t end, float* scores) {
  // As many sums as hide the latency of one, but no keys in vain.
  constexpr int kVectors = kRows == 1 && HWY_TARGET == HWY_AVX2 ? 8 : kRows <= 3 ? 4 : 2;
  HWY_DASSERT(kPageSize % (kVectors * lanes()) == 0);
  const int64_t width = kVectors * lanes();
  for (int64_t j = begin / width * width; j < end; j += width) {
    score_tile<kRows, kVectors>(rows, keys + j, dim, scores + j);
  }
}

/// Weights of a tile: that of row m and column j at data[m * kPageSize + j], or transposed at
/// data[j * kPageSize + m].
template <bool kTransposed>
struct Weights {
  const float* data;
  HWY_INLINE float at(int m, int64_t j) const {
    return kTransposed ? data[j * kPageSize + m] : data[m * kPageSize + j];
  }
};

/// sums[m][d …] += weights[m, j] * values[j, d …] over columns [begin, end), for kVectors vectors
/// from d on. Rows of values are `stride` apart.
template <int kRows, int kVectors, bool kTransposed, typename T>
HWY_INLINE void sum_tile(Weights<kTransposed> weights, int64_t begin, int64_t end, const T* values,
                         int64_t stride, int64_t d, float* const* sums) {
  const int64_t step = lanes();
  Floats total[kRows][kVectors];
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) total[m][v] = load(sums[m] + d + v * step);
  }
  for (int64_t j = begin; j < end; ++j) {
    Floats value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = load_values(values + j * stride + d + v * step);
    for (int m = 0; m < kRows; ++m) {
      const Floats weight = set(weights.at(m, j));
      for (int v = 0; v < kVectors; ++v) total[m][v] = hn::MulAdd(weight, value[v], total[m][v]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVectors; ++v) store(total[m][v], sums[m] + d + v * step);
  }
}

/// As sum_tile for the last `count` dimensions, fewer than a vector's.
template <int kRows, bool kTransposed, typename T>
HWY_INLINE void sum_tail(Weights<kTransposed> weights, int64_t begin, int64_t end, const T* values,
                         int64_t stride, int64_t d, int64_t count, float* const* sums) {
  Floats total[kRows];
  for (int m = 0; m < kRows; ++m) total[m] = load_first(sums[m] + d, count);
  for (int64_t j = begin; j < end; ++j) {
    const Floats value = load_first_values(values + j * stride + d, count);
    for (int m = 0; m < kRows; ++m) {
      total[m] = hn::MulAdd(set(weights.at(m, j)), value, total[m]);
    }
  }
  for (int m = 0; m < kRows; ++m) store_first(total[m], sums[m] + d, count);
}

/// sum_tile from d on, as long as kVectors vectors are left, then with half as many; returns where
/// it ended, less than a vector from `dim`.
template <int kRows, int kVectors, bool kTransposed, typename T>
HWY_INLINE int64_t sum_tiles(Weights<kTransposed> weights, int64_t begin, int64_t end,
                             const T* values, int64_t stride, int64_t d, int64_t dim,
                             float* const* sums) {
  for (; d + kVectors * lanes() <= dim; d += kVectors * lanes()) {
    sum_tile<kRows, kVectors>(weights, begin, end, values, stride, d, sums);
  }
  if constexpr (kVectors > 1) {
    d = sum_tiles<kRows, kVectors / 2>(weights, begin, end, values, stride, d, dim, sums);
  }
  return d;
}

/// sums[m] += weights[m, j] * values[j] over columns [begin, end) in ascending order; each of the
/// kRows rows has `dim` values.
template <int kRows, bool kTransposed, typename T>
HWY_INLINE void sum_rows(Weights<kTransposed> weights, int64_t begin, int64_t end, const T* values,
                         int64_t stride, int64_t dim, float* const* sums) {
  // AVX2 has half the registers of the others.
  constexpr int kVectors = (kRows == 6 ? 4 : 8) / (HWY_TARGET == HWY_AVX2 && kRows > 1 ? 2 : 1);
  const int64_t d = sum_tiles<kRows, kVectors>(weights, begin, end, values, stride, 0, dim, sums);
  if (d < dim) sum_tail<kRows>(weights, begin, end, values, stride, d, dim - d, sums);
}

/// to[d, column + i] = from[i, d] for `count` rows of `dim` values, `stride` apart; rows of `to`
/// are kPageSize long.
HWY_INLINE void transpose(const float* from, int64_t stride, int64_t count, int64_t dim,
                          float* to) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<float, 4> four;
  const hn::Repartition<double, decltype(four)> pairs;
  for (; i + 4 <= count; i += 4) {
    const float* rows = from + i * stride;
    int64_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      const auto a = hn::LoadU(four, rows + d), b = hn::LoadU(four, rows + stride + d);
      const auto c = hn::LoadU(four, rows + 2 * stride + d);
      const auto e = hn::LoadU(four, rows + 3 * stride + d);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(four, a, b));
      const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(four, a, b));
      const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(four, c, e));
      const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(four, c, e));
      float* out = to + d * kPageSize + i;
      const auto put = [&](auto v, int64_t row) HWY_ATTR {
        hn::StoreU(hn::BitCast(four, v), four, out + row * kPageSize);
      };
      put(hn::InterleaveLower(pairs, ab_low, ce_low), 0);
      put(hn::InterleaveUpper(pairs, ab_low, ce_low), 1);
      put(hn::InterleaveLower(pairs, ab_high, ce_high), 2);
      put(hn::InterleaveUpper(pairs, ab_high, ce_high), 3);
    }
    for (; d < dim; ++d) {
      for (int64_t r = 0; r < 4; ++r) to[d * kPageSize + i + r] = rows[r * stride + d];
    }
  }
#endif
  for (; i < count; ++i) {
    for (int64_t d = 0; d < dim; ++d) to[d * kPageSize + i] = from[i * stride + d];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#endif
