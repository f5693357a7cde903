// Matrix products with weights in quantised blocks: the counterpart of matmul.h for those types.
#pragma once

#include "millrace/kernels/matmul.h"

namespace millrace {

/// Arranges a quantised weight [n, k] for the inner loop, keeping its type and values.
/// Throws Error when the type is not a block format.
PackedMatrix pack_quantized(const Tensor& w);

/// Bytes of a packed quantised weight [n, k].
uint64_t quantized_bytes(DType type, int64_t n, int64_t k);

/// y [m, n] = x [m, k] · wᵀ, or += with `accumulate`, for products with packed quantised weights.
/// Like matmul, which calls it: every y[i, j] depends on row i of x and row j of w alone.
void quantized_matmul(const MatrixView& x, std::span<const Product> products, bool accumulate);

/// Row `row` of a packed quantised weight, dequantised to f32 [k].
void unpack_quantized_row(const PackedMatrix& w, int64_t row, float* out);

}  // namespace millrace
