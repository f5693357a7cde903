// What docs/numerics.md promises of dense products, output by output.
#pragma once

#include <algorithm>
#include <cmath>

#include "millrace/kernels/isa.h"
#include "millrace/kernels/matmul.h"

namespace millrace {

inline float rounded(float value, DType type) {
  if (type == DType::bf16) return to_float(to_bfloat16(value));
  if (type == DType::f16) return to_float(to_float16(value));
  return value;
}

inline float at(const MatrixView& m, int64_t i, int64_t j) {
  return m.data[i * m.row_stride + j * m.col_stride];
}

/// bf16 at level amx: blocks of 32 values of k, whose even and odd ones are summed by themselves.
inline float tile_contract(const MatrixView& x, int64_t i, const MatrixView& w, int64_t j,
                           float sum = 0) {
  for (int64_t begin = 0; begin < x.cols; begin += 32) {
    float parts[2] = {};
    for (int64_t k = begin; k < std::min(begin + 32, x.cols); ++k) {
      float& part = parts[k % 2];
      part = std::fma(rounded(at(x, i, k), DType::bf16), rounded(at(w, j, k), DType::bf16), part);
    }
    sum += parts[0] + parts[1];
  }
  return sum;
}

/// Otherwise: one chain of FMAs, the odd one of a bf16 pair first.
inline float contract(const MatrixView& x, int64_t i, const MatrixView& w, int64_t j, DType type,
                      float sum = 0) {
  if (type == DType::bf16 && isa() == Isa::amx) return tile_contract(x, i, w, j, sum);
  auto add = [&](int64_t k) {
    if (k >= x.cols) return;
    float a = type == DType::bf16 ? rounded(at(x, i, k), type) : at(x, i, k);
    sum = std::fma(a, rounded(at(w, j, k), type), sum);
  };
  for (int64_t k = 0; k < x.cols; k += type == DType::bf16 ? 2 : 1) {
    if (type == DType::bf16) add(k + 1);
    add(k);
  }
  return sum;
}

}  // namespace millrace
