// Dense matrix products: weights packed once for the inner loop, results independent of company.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "millrace/tensor/tensor.h"

namespace millrace {

/// How operands are rounded before they are multiplied. Sums are f32 always.
enum class Arithmetic { f32, bf16 };

/// A strided look at f32 values: element (i, j) is `data[i * row_stride + j * col_stride]`.
struct MatrixView {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;
  int64_t col_stride = 1;

  MatrixView transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};

/// A view of a contiguous f32 tensor [rows, cols].
MatrixView view(const Tensor& matrix);

/// A weight matrix [n, k] = [out, in] arranged for the inner loop, valid at every instruction-set
/// level. `type` is how its values are stored; it alone decides the arithmetic: f32 and f16
/// multiply in f32, bf16 rounds the other operand to bf16 too, quantised blocks have their own
/// (quantized_matmul.h).
struct PackedMatrix {
  DType type = DType::f32;
  int64_t n = 0;
  int64_t k = 0;
  std::shared_ptr<Storage> bytes;
};

/// Packs `w` [n, k], in parallel. Memory that `out` holds is used again when it is large enough
/// and nobody shares it.
void pack(const MatrixView& w, Arithmetic arithmetic, PackedMatrix& out);

/// Packs a weight [n, k] of type f32, f16, bf16 or a quantised one, keeping its type and values.
/// Throws Error for other types and ranks.
PackedMatrix pack(const Tensor& w);

/// Bytes of a packed matrix [n, k].
uint64_t packed_bytes(DType type, int64_t n, int64_t k);

/// Row `row` of a packed matrix as f32 [k]: the embedding look-up in a tied table.
void unpack_row(const PackedMatrix& w, int64_t row, float* out);

/// y [m, n] = x [m, k] · wᵀ, or y += x · wᵀ with `accumulate`; row i of y begins at
/// `y + i * y_stride`. y must not overlap x. Each y[i, j] is one chain of fused multiply-adds over
/// ascending k that starts from 0 (from y[i, j] with `accumulate`), so its bits depend on row i of
/// x and row j of w alone: not on m, n, tiles or threads. docs/numerics.md has the whole contract.
/// Throws Error when the shapes disagree.
void matmul(const MatrixView& x, const PackedMatrix& w, float* y, int64_t y_stride,
            bool accumulate = false);

/// The same product, to the bit, with a weight that nobody has packed: piece by piece it is packed
/// on the way, into a few megabytes that the calling thread keeps.
void matmul(const MatrixView& x, const MatrixView& w, Arithmetic arithmetic, float* y,
            int64_t y_stride, bool accumulate = false);

/// One of several products of the same x: row i of y begins at `y + i * y_stride`.
struct Product {
  const PackedMatrix* w = nullptr;
  float* y = nullptr;
  int64_t y_stride = 0;
};

/// y = x · wᵀ for every product, the same bits as one after the other; small ones share a round of
/// the thread pool.
void matmul(const MatrixView& x, std::span<const Product> products);

}  // namespace millrace
