// The inner loops of bf16 products where AVX-512 has bf16 dot products (Zen 4, Cooper Lake on).
#include "millrace/kernels/dense_tile.h"

#if defined(__x86_64__)
#include <hwy/base.h>

#include <algorithm>

// g++ 12 finds its own intrinsics' "undefined" operands uninitialised.
HWY_DIAGNOSTICS(push)
HWY_DIAGNOSTICS_OFF(disable : 4701, ignored "-Wuninitialized")
#include <immintrin.h>
HWY_DIAGNOSTICS(pop)

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,prfchw")

namespace millrace {
namespace {

constexpr int kLanes = 16;       // pairs, or sums, in a register
constexpr int kPairValues = 32;  // values of k in a register of pairs
constexpr int kMaxRows = 12;     // 24 sums, a panel's 2 registers and a pair of x

__mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, kLanes)) - 1);
}

/// Rows × panels side by side; several panels keep enough chains in flight for few rows.
template <int kRows, int kPanels>
void multiply(const Tile& tile, int panel) {
  const std::byte* w = tile.w + panel * tile.panel_stride;
  float* y = tile.y + panel * kPanel;
  __m512 sum[kRows][kPanels][2];
  const __mmask16 from_y = tile.accumulate ? 0xffff : 0;  // masked out, a sum starts from 0
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      const float* start = y + r * tile.y_stride + p * kPanel;
      sum[r][p][0] = _mm512_maskz_loadu_ps(from_y, start);
      sum[r][p][1] = _mm512_maskz_loadu_ps(from_y, start + kLanes);
    }
  }
  const std::byte* x = tile.x;
  for (int64_t step = 0; step < tile.steps; ++step, w += kPanel * 4, x += 4) {
    __m512bh left[kPanels], right[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      left[p] = (__m512bh)_mm512_load_si512(w + p * tile.panel_stride);
      right[p] = (__m512bh)_mm512_load_si512(w + p * tile.panel_stride + 64);
    }
    for (int r = 0; r < kRows; ++r) {
      auto pair = (__m512bh)_mm512_set1_epi32(*reinterpret_cast<const int*>(x + r * kRowStride));
      for (int p = 0; p < kPanels; ++p) {
        sum[r][p][0] = _mm512_dpbf16_ps(sum[r][p][0], pair, left[p]);
        sum[r][p][1] = _mm512_dpbf16_ps(sum[r][p][1], pair, right[p]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      float* out = y + r * tile.y_stride + p * kPanel;
      _mm512_storeu_ps(out, sum[r][p][0]);
      _mm512_storeu_ps(out + kLanes, sum[r][p][1]);
    }
  }
}

template <int kRows>
void multiply_panels(const Tile& tile) {
  constexpr int kTogether = kRows == 1 ? 4 : kRows <= 3 ? 2 : 1;
  int panel = 0;
  for (; panel + kTogether <= tile.panels; panel += kTogether)
    multiply<kRows, kTogether>(tile, panel);
  if constexpr (kTogether > 1) {
    for (; panel < tile.panels; ++panel) multiply<kRows, 1>(tile, panel);
  }
}

void tile_bf16(DType type, const Tile& tile) {
  static constexpr void (*kByRows[])(const Tile&) = {
      multiply_panels<1>, multiply_panels<2>,  multiply_panels<3>,  multiply_panels<4>,
      multiply_panels<5>, multiply_panels<6>,  multiply_panels<7>,  multiply_panels<8>,
      multiply_panels<9>, multiply_panels<10>, multiply_panels<11>, multiply_panels<12>};
  if (type != DType::bf16) return kAvx512DenseKernels.tile(type, tile);
  kByRows[tile.rows - 1](tile);
}

/// 16 registers of 16 pairs of bf16: the square in which x and w are turned.
struct Square {
  __m512i v[kLanes];
};

/// v[i] = 32 values of row i from `from`, rows and values past the end zero.
Square load_rows(const float* from, int64_t row_stride, int64_t rows, int64_t values) {
  Square square;
  __mmask16 low = first_lanes(values), high = first_lanes(values - kLanes);
  for (int i = 0; i < kLanes; ++i) {
    const float* row = from + i * row_stride;
    __m512 a = _mm512_maskz_loadu_ps(i < rows ? low : 0, row);
    __m512 b = _mm512_maskz_loadu_ps(i < rows ? high : 0, row + kLanes);
    square.v[i] = (__m512i)_mm512_cvtne2ps_pbh(b, a);
  }
  return square;
}

/// v[i] = the pairs of columns 2i and 2i + 1 in 16 rows, where a column's rows are neighbours.
Square load_columns(const float* from, int64_t col_stride, int64_t rows, int64_t values) {
  const __m512i interleave =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  Square square;
  __mmask16 mask = first_lanes(rows);
  for (int i = 0; i < kLanes; ++i) {
    const float* column = from + 2 * i * col_stride;
    __m512 a = _mm512_maskz_loadu_ps(2 * i < values ? mask : 0, column);
    __m512 b = _mm512_maskz_loadu_ps(2 * i + 1 < values ? mask : 0, column + col_stride);
    square.v[i] = _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
  return square;
}

/// Turns 16 × 16 pairs: four rounds of interleaving, of 1, 2, 4 and 8 pairs.
void transpose(Square& s) {
  __m512i t[kLanes];
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_epi32(s.v[i], s.v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(s.v[i], s.v[i + 1]);
  }
  for (int i = 0; i < kLanes; i += 4) {
    for (int j = 0; j < 2; ++j) {
      s.v[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      s.v[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  }
  // Now s.v[4g + c] holds columns c, c + 4, c + 8, c + 12 of rows 4g … 4g + 3, 128 bits each.
  for (int c = 0; c < 4; ++c) {
    __m512i low = _mm512_shuffle_i32x4(s.v[c], s.v[c + 4], 0x44);
    __m512i low2 = _mm512_shuffle_i32x4(s.v[c + 8], s.v[c + 12], 0x44);
    __m512i high = _mm512_shuffle_i32x4(s.v[c], s.v[c + 4], 0xee);
    __m512i high2 = _mm512_shuffle_i32x4(s.v[c + 8], s.v[c + 12], 0xee);
    t[c] = _mm512_shuffle_i32x4(low, low2, 0x88);
    t[c + 4] = _mm512_shuffle_i32x4(low, low2, 0xdd);
    t[c + 8] = _mm512_shuffle_i32x4(high, high2, 0x88);
    t[c + 12] = _mm512_shuffle_i32x4(high, high2, 0xdd);
  }
  std::copy_n(t, kLanes, s.v);
}

void convert_row(const float* from, int64_t values, std::byte* out) {
  int64_t k = 0;
  for (; k + kPairValues <= values; k += kPairValues) {
    __m512bh pairs =
        _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + k + kLanes), _mm512_loadu_ps(from + k));
    _mm512_store_si512(out + k * 2, (__m512i)pairs);
  }
  if (k < values) {
    __m512 a = _mm512_maskz_loadu_ps(first_lanes(values - k), from + k);
    __m512 b = _mm512_maskz_loadu_ps(first_lanes(values - k - kLanes), from + k + kLanes);
    _mm512_store_si512(out + k * 2, (__m512i)_mm512_cvtne2ps_pbh(b, a));
  }
}

void pack_x_bf16(const MatrixView& x, Arithmetic arithmetic, std::byte* out) {
  if (arithmetic == Arithmetic::f32) return kAvx512DenseKernels.pack_x(x, arithmetic, out);
  if (x.col_stride == 1) {
    for (int64_t i = 0; i < x.rows; ++i)
      convert_row(x.data + i * x.row_stride, x.cols, out + i * kRowStride);
    return;
  }
  for (int64_t i = 0; i < x.rows; i += kLanes) {
    int64_t rows = std::min<int64_t>(kLanes, x.rows - i);
    for (int64_t k = 0; k < x.cols; k += kPairValues) {
      const float* from = x.data + i + k * x.col_stride;
      // Columns lie too far apart for the processor to foresee the next square but one.
      for (int64_t ahead = 64; ahead < std::min<int64_t>(96, x.cols - k); ++ahead) {
        __builtin_prefetch(from + ahead * x.col_stride);
      }
      Square square = load_columns(from, x.col_stride, rows, x.cols - k);
      transpose(square);
      for (int64_t r = 0; r < rows; ++r) {
        _mm512_store_si512(out + (i + r) * kRowStride + k * 2, square.v[r]);
      }
    }
  }
}

void pack_panel_bf16(const MatrixView& w, Arithmetic arithmetic, std::byte* out) {
  if (arithmetic == Arithmetic::f32) return kAvx512DenseKernels.pack_panel(w, arithmetic, out);
  for (int64_t k = 0; k < w.cols; k += kPairValues) {
    int64_t values = std::min<int64_t>(kPairValues, w.cols - k);
    for (int64_t j = 0; j < kPanel; j += kLanes) {
      const float* from = w.data + j * w.row_stride + k * w.col_stride;
      Square square;
      if (w.col_stride == 1) {
        square = load_rows(from, w.row_stride, w.rows - j, values);
        transpose(square);
      } else {
        square = load_columns(from, w.col_stride, w.rows - j, values);
      }
      for (int64_t i = 0; 2 * i < values; ++i) {
        _mm512_store_si512(out + (k / 2 + i) * kPanel * 4 + j * 4, square.v[i]);
      }
    }
  }
}

}  // namespace

const DenseKernels kAvx512Bf16DenseKernels{kMaxRows, sizeof(BFloat16), tile_bf16, pack_x_bf16,
                                           pack_panel_bf16};

}  // namespace millrace

HWY_POP_ATTRIBUTES
#endif
