// The reference inner loops of dense products, in plain C++.
#include <cmath>
#include <cstring>

#include "millrace/kernels/dense_tile.h"

namespace millrace {
namespace {

/// One output in f32: an FMA for each k.
template <typename T>
float chain(const float* x, const T* w, int64_t steps, float sum) {
  for (int64_t k = 0; k < steps; ++k) {
    if constexpr (std::is_same_v<T, Float16>) {
      sum = std::fma(x[k], to_float(w[k * kPanel]), sum);
    } else {
      sum = std::fma(x[k], w[k * kPanel], sum);
    }
  }
  return sum;
}

/// One output in bf16: two FMAs for each pair of k, the odd one first, as
/// vdpbf16ps does it.
float chain(const float* x, const BFloat16* w, int64_t pairs, float sum) {
  for (int64_t p = 0; p < pairs; ++p) {
    const BFloat16* pair = w + p * kPanel * 2;
    sum = std::fma(x[2 * p + 1], to_float(pair[1]), sum);
    sum = std::fma(x[2 * p], to_float(pair[0]), sum);
  }
  return sum;
}

template <typename W>
void multiply(const Tile& tile) {
  constexpr int kStep = std::is_same_v<W, BFloat16> ? 2 : 1;  // values of a column in one k step
  for (int p = 0; p < tile.panels; ++p) {
    auto w = reinterpret_cast<const W*>(tile.w + p * tile.panel_stride);
    for (int r = 0; r < tile.rows; ++r) {
      auto x = reinterpret_cast<const float*>(tile.x + r * kRowStride);
      float* y = tile.y + r * tile.y_stride + p * kPanel;
      for (int j = 0; j < kPanel; ++j) {
        float start = tile.accumulate ? y[j] : 0.0f;
        y[j] = chain(x, w + j * kStep, tile.steps, start);
      }
    }
  }
}

void tile_scalar(DType type, const Tile& tile) {
  if (type == DType::bf16) return multiply<BFloat16>(tile);
  if (type == DType::f16) return multiply<Float16>(tile);
  multiply<float>(tile);
}

float at(const MatrixView& m, int64_t i, int64_t j) {
  return m.data[i * m.row_stride + j * m.col_stride];
}

}  // namespace

void pack_x_scalar(const MatrixView& x, Arithmetic arithmetic, std::byte* out) {
  for (int64_t i = 0; i < x.rows; ++i, out += kRowStride) {
    auto values = reinterpret_cast<float*>(out);
    for (int64_t k = 0; k < x.cols; ++k) {
      values[k] = at(x, i, k);
      if (arithmetic == Arithmetic::bf16) values[k] = to_float(to_bfloat16(values[k]));
    }
    if (x.cols % 2 != 0) values[x.cols] = 0;
  }
}

void pack_panel_scalar(const MatrixView& w, Arithmetic arithmetic, std::byte* out) {
  std::memset(out, 0,
              static_cast<size_t>(
                  panel_bytes(arithmetic == Arithmetic::f32 ? DType::f32 : DType::bf16, w.cols)));
  for (int64_t j = 0; j < w.rows; ++j) {
    for (int64_t k = 0; k < w.cols; ++k) {
      if (arithmetic == Arithmetic::f32) {
        reinterpret_cast<float*>(out)[k * kPanel + j] = at(w, j, k);
      } else {
        reinterpret_cast<BFloat16*>(out)[(k / 2 * kPanel + j) * 2 + k % 2] =
            to_bfloat16(at(w, j, k));
      }
    }
  }
}

const DenseKernels kScalarDenseKernels{12, sizeof(float), tile_scalar, pack_x_scalar,
                                       pack_panel_scalar};

}  // namespace millrace
