// The inner loops of dense products in f32 arithmetic, written once for AVX2, AVX-512 and NEON.
#include <algorithm>
#include <cstring>

#include "millrace/kernels/dense_tile.h"

#define HWY_COMPILE_ALL_ATTAINABLE
// Targets without fused multiply-add have the plain loops.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/dense_tile_simd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> kFloats;
const hn::RebindToUnsigned<decltype(kFloats)> kBits;
using Floats = hn::Vec<decltype(kFloats)>;
using Bits = hn::Vec<decltype(kBits)>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(kFloats));
// Sums of kMaxRows × 2 registers leave room for a panel's two, one of x and, in 16 (AVX2 has no
// more), a bf16 mask.
constexpr int kMaxRows = HWY_TARGET == HWY_AVX2 ? 5 : 12;

/// A register of outputs at one k; of the two k of a bf16 pair, the one that `odd` says.
Floats load(const float* from, bool) {
  return hn::Load(kFloats, from);
}
Floats load(const Float16* from, bool) {
  const hn::Rebind<hwy::float16_t, decltype(kFloats)> halves;
  return hn::PromoteTo(kFloats, hn::LoadU(halves, reinterpret_cast<const hwy::float16_t*>(from)));
}
Floats load(const BFloat16* from, bool odd) {
  const Bits pairs = hn::Load(kBits, reinterpret_cast<const uint32_t*>(from));
  const Bits upper = odd ? hn::And(pairs, hn::Set(kBits, 0xffff0000u)) : hn::ShiftLeft<16>(pairs);
  return hn::BitCast(kFloats, upper);
}

/// Rows × columns of sums over one block of k. Columns are kRegisters in each of kPanels panels.
template <typename W, int kRows, int kRegisters, int kPanels>
void multiply(const Tile& tile, int panel, int column) {
  constexpr int kWidth = kRegisters * kPanels;
  Floats sum[kRows][kWidth];
  float* y = tile.y + panel * kPanel + column;
  auto place = [&](int r, int c) {
    return y + r * tile.y_stride + c / kRegisters * kPanel + c % kRegisters * kLanes;
  };
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kWidth; ++c) {
      sum[r][c] = tile.accumulate ? hn::LoadU(kFloats, place(r, c)) : hn::Zero(kFloats);
      if (!tile.accumulate) __builtin_prefetch(place(r, c), 1);
    }
  }
  constexpr int kValues = std::is_same_v<W, BFloat16> ? 2 : 1;  // of k in a step
  const std::byte* x = tile.x;
  const std::byte* w = tile.w + panel * tile.panel_stride + column * kValues * sizeof(W);
  for (int64_t step = 0; step < tile.steps; ++step) {
    for (int k = kValues - 1; k >= 0; --k) {
      Floats values[kWidth];
      for (int c = 0; c < kWidth; ++c) {
        auto from = reinterpret_cast<const W*>(w + c / kRegisters * tile.panel_stride);
        values[c] = load(from + c % kRegisters * kLanes * kValues, k == 1);
      }
      for (int r = 0; r < kRows; ++r) {
        auto row = reinterpret_cast<const float*>(x + r * kRowStride);
        const Floats factor = hn::Set(kFloats, row[k]);
        for (int c = 0; c < kWidth; ++c) sum[r][c] = hn::MulAdd(factor, values[c], sum[r][c]);
      }
    }
    x += kValues * sizeof(float);
    w += kPanel * kValues * sizeof(W);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kWidth; ++c) hn::StoreU(sum[r][c], kFloats, place(r, c));
  }
}

/// All panels of a tile. Few rows take more columns at once, to keep enough chains in flight.
template <typename W, int kRows>
void multiply_panels(const Tile& tile) {
  constexpr int kWhole = kPanel / kLanes;  // registers across a panel
  constexpr int kRegisters = kRows <= 2 ? kWhole : 2;
  constexpr int kPanels = kRows == 1 ? 8 / kWhole : kRows <= 3 && kWhole == 2 ? 2 : 1;
  auto multiply_some = [&](auto panels, int panel) {
    for (int column = 0; column < kPanel; column += kRegisters * kLanes) {
      multiply<W, kRows, kRegisters, panels>(tile, panel, column);
    }
  };
  int panel = 0;
  for (; panel + kPanels <= tile.panels; panel += kPanels) {
    multiply_some(std::integral_constant<int, kPanels>(), panel);
  }
  for (; panel < tile.panels; ++panel) multiply_some(std::integral_constant<int, 1>(), panel);
}

template <typename W, int kRows = kMaxRows>
void multiply_rows(const Tile& tile) {
  if (tile.rows == kRows) return multiply_panels<W, kRows>(tile);
  if constexpr (kRows > 1) multiply_rows<W, kRows - 1>(tile);
}

void multiply_tile(DType type, const Tile& tile) {
  if (type == DType::bf16) return multiply_rows<BFloat16>(tile);
  if (type == DType::f16) return multiply_rows<Float16>(tile);
  multiply_rows<float>(tile);
}

#if HWY_TARGET == HWY_NEON

constexpr DenseKernels kKernels{kMaxRows, sizeof(float), multiply_tile, pack_x_scalar,
                                pack_panel_scalar};

#else

// ---- Packing. Eight lanes at both levels of x86: a square of 8 × 8 is turned in 24 instructions.

const hn::CappedTag<float, 8> kEight;
const hn::RebindToUnsigned<decltype(kEight)> kEightBits;
using Eight = hn::Vec<decltype(kEight)>;
using EightBits = hn::Vec<decltype(kEightBits)>;

struct Square {
  Eight v[8];
};

/// The upper half of each value's bits, rounded to nearest even as to_bfloat16 does, the rest zero.
EightBits round_to_bfloat16(Eight value) {
  const EightBits bits = hn::BitCast(kEightBits, value);
  const EightBits odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(kEightBits, 1));
  const EightBits rounded = hn::Add(hn::Add(bits, hn::Set(kEightBits, 0x7fff)), odd);
  const EightBits quiet = hn::Or(bits, hn::Set(kEightBits, 0x400000));
  const auto is_nan = hn::RebindMask(kEightBits, hn::IsNaN(value));
  return hn::And(hn::IfThenElse(is_nan, quiet, rounded), hn::Set(kEightBits, 0xffff0000u));
}

Square turn(const Square& s) {
  const hn::Repartition<double, decltype(kEight)> wide;
  auto low = [&](Eight a, Eight b) { return hn::InterleaveLower(kEight, a, b); };
  auto high = [&](Eight a, Eight b) { return hn::InterleaveUpper(kEight, a, b); };
  auto low_pairs = [&](Eight a, Eight b) {
    return hn::BitCast(kEight,
                       hn::InterleaveLower(wide, hn::BitCast(wide, a), hn::BitCast(wide, b)));
  };
  auto high_pairs = [&](Eight a, Eight b) {
    return hn::BitCast(kEight,
                       hn::InterleaveUpper(wide, hn::BitCast(wide, a), hn::BitCast(wide, b)));
  };
  Eight fours[8];  // [4 * g + c]: columns c and c + 4 of rows 4 * g … 4 * g + 3
  for (int g = 0; g < 8; g += 4) {
    const Eight* v = s.v + g;
    Eight a = low(v[0], v[1]), b = high(v[0], v[1]), c = low(v[2], v[3]), d = high(v[2], v[3]);
    fours[g] = low_pairs(a, c);
    fours[g + 1] = high_pairs(a, c);
    fours[g + 2] = low_pairs(b, d);
    fours[g + 3] = high_pairs(b, d);
  }
  Square turned;
  for (int c = 0; c < 4; ++c) {
    turned.v[c] = hn::ConcatLowerLower(kEight, fours[4 + c], fours[c]);
    turned.v[4 + c] = hn::ConcatUpperUpper(kEight, fours[4 + c], fours[c]);
  }
  return turned;
}

/// Eight values from `from`, of which `count` exist; zeros after them.
Eight load_some(const float* from, int64_t count) {
  if (count >= 8) return hn::LoadU(kEight, from);
  alignas(32) float padded[8] = {};
  std::copy_n(from, count, padded);
  return hn::Load(kEight, padded);
}

/// Rows [i, i + 8) of m at columns [k, k + 8), a register for each row; zero where m ends.
Square load_rows(const MatrixView& m, int64_t i, int64_t k) {
  Square square;
  for (int64_t r = 0; r < 8; ++r) {
    const float* from = m.data + (i + r) * m.row_stride + k;
    square.v[r] = i + r < m.rows ? load_some(from, m.cols - k) : hn::Zero(kEight);
  }
  return square;
}

Eight rounded(Eight value, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::f32) return value;
  return hn::BitCast(kEight, round_to_bfloat16(value));
}

void pack_x(const MatrixView& x, Arithmetic arithmetic, std::byte* out) {
  auto place = [out](int64_t i, int64_t k) {
    return reinterpret_cast<float*>(out + i * kRowStride) + k;
  };
  if (x.col_stride == 1) {
    for (int64_t i = 0; i < x.rows; ++i) {
      for (int64_t k = 0; k < x.cols; k += 8) {
        Eight value = load_some(x.data + i * x.row_stride + k, x.cols - k);
        hn::Store(rounded(value, arithmetic), kEight, place(i, k));
      }
    }
  } else {
    for (int64_t i = 0; i < x.rows; i += 8) {
      for (int64_t k = 0; k < x.cols; k += 8) {
        Square square = turn(load_rows(x.transposed(), k, i));
        for (int64_t r = 0; r < std::min<int64_t>(8, x.rows - i); ++r) {
          hn::Store(rounded(square.v[r], arithmetic), kEight, place(i + r, k));
        }
      }
    }
  }
}

void pack_panel(const MatrixView& w, Arithmetic arithmetic, std::byte* out) {
  for (int64_t k = 0; k < w.cols; k += 8) {
    int64_t depth = std::min<int64_t>(8, w.cols - k);
    for (int64_t j = 0; j < kPanel; j += 8) {
      Square square =
          w.col_stride == 1 ? turn(load_rows(w, j, k)) : load_rows(w.transposed(), k, j);
      if (arithmetic == Arithmetic::f32) {
        auto to = reinterpret_cast<float*>(out) + k * kPanel + j;
        for (int64_t c = 0; c < depth; ++c) hn::Store(square.v[c], kEight, to + c * kPanel);
      } else {
        auto to = reinterpret_cast<uint32_t*>(out) + k / 2 * kPanel + j;
        for (int64_t c = 0; c < depth; c += 2, to += kPanel) {
          EightBits even = hn::ShiftRight<16>(round_to_bfloat16(square.v[c]));
          hn::Store(hn::Or(even, round_to_bfloat16(square.v[c + 1])), kEightBits, to);
        }
      }
    }
  }
}

constexpr DenseKernels kKernels{kMaxRows, sizeof(float), multiply_tile, pack_x, pack_panel};

#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE && defined(__x86_64__)
namespace millrace {

const DenseKernels kAvx2DenseKernels = N_AVX2::kKernels;
const DenseKernels kAvx512DenseKernels = N_AVX3::kKernels;

}  // namespace millrace
#endif

#if HWY_ONCE && defined(__aarch64__)
namespace millrace {

const DenseKernels kNeonDenseKernels = N_NEON::kKernels;

}  // namespace millrace
#endif
