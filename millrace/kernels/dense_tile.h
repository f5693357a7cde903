// What the blocking of matmul.cpp asks of each instruction set: packing, and one tile of products.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "millrace/kernels/isa.h"
#include "millrace/kernels/matmul.h"

namespace millrace {

/// A packed weight is cut into panels of 32 outputs. Within a panel k runs outermost: f32 and f16
/// as [k][32]; bf16 as [(k + 1) / 2][32][2], the pairs that one dot-product instruction takes.
/// Outputs past n, and the partner of an odd last k, are zero.
constexpr int kPanel = 32;

/// More rows than any level keeps in registers.
constexpr int kMaxTileRows = 32;

/// A row of x, converted for the inner loop, fills this many bytes of a block; the rest of the
/// stride keeps neighbouring rows out of each other's cache sets.
constexpr int64_t kRowBytes = 2048;
constexpr int64_t kRowStride = kRowBytes + 64;

/// Bytes of one panel of a packed f32, f16 or bf16 matrix whose rows have `k` values.
inline int64_t panel_bytes(DType type, int64_t k) {
  int64_t values = type == DType::bf16 ? (k + 1) / 2 * 2 : k;
  return values * kPanel * (type == DType::f32 ? 4 : 2);
}

/// Up to kernels.max_rows rows of a block of x times `panels` neighbouring panels over one block
/// of k: y[rows, 32 * panels] = or += x · wᵀ.
struct Tile {
  const std::byte* x;    ///< rows kRowStride apart
  const std::byte* w;    ///< the first panel, at the first k of the block
  int64_t panel_stride;  ///< bytes from panel to panel
  int64_t steps;         ///< values of k, or pairs of them for bf16
  float* y;
  int64_t y_stride;
  int rows;
  int panels;
  bool accumulate;  ///< sums start from y, not from 0
};

/// The inner loops at one instruction-set level. Views have a stride of 1 in one direction.
struct DenseKernels {
  int max_rows;        ///< of a tile
  int64_t bf16_bytes;  ///< of a value of x rounded to bf16: 2, or 4 when it is kept as f32
  /// One tile with weights of type f32, f16 or bf16.
  void (*tile)(DType type, const Tile& tile);
  /// Converts x [rows, k] into `out`, rows kRowStride apart; a row fits in kRowBytes. At level amx
  /// it ends with zeros up to whole tiles of 32 values.
  void (*pack_x)(const MatrixView& x, Arithmetic arithmetic, std::byte* out);
  /// Converts up to 32 rows of a weight over some k into a part of a panel.
  void (*pack_panel)(const MatrixView& w, Arithmetic arithmetic, std::byte* out);
  /// With fewer rows a block of x reads the weight too often for what it does with it.
  int64_t min_block = 48;
  /// With more it leaves the second-level cache.
  int64_t max_block = 192;
};

extern const DenseKernels kScalarDenseKernels;  ///< the plain loops that define the results
void pack_x_scalar(const MatrixView& x, Arithmetic arithmetic, std::byte* out);
void pack_panel_scalar(const MatrixView& w, Arithmetic arithmetic, std::byte* out);
#if defined(__aarch64__)
extern const DenseKernels kNeonDenseKernels;
#endif
#if defined(__x86_64__)
extern const DenseKernels kAvx2DenseKernels;
extern const DenseKernels kAvx512DenseKernels;
extern const DenseKernels kAvx512Bf16DenseKernels;
extern const DenseKernels kAmxDenseKernels;  ///< bf16 alone
#endif

/// Those of the level in use for weights of this type.
const DenseKernels& dense_kernels(DType type);

/// matmul with given inner loops.
void dense_matmul(const DenseKernels& kernels, const MatrixView& x, const PackedMatrix& w, float* y,
                  int64_t y_stride, bool accumulate);

/// Calls `body(m)`, or with a copy of `m` when it has no stride of 1.
template <typename Body>
void with_unit_stride(MatrixView m, const Body& body) {
  if (m.cols <= 1) m.col_stride = 1;
  if (m.rows <= 1) m.row_stride = 1;
  if (m.row_stride == 1 || m.col_stride == 1) return body(m);
  std::vector<float> copy;
  copy.reserve(static_cast<size_t>(m.rows * m.cols));
  for (int64_t i = 0; i < m.rows; ++i) {
    for (int64_t j = 0; j < m.cols; ++j) {
      copy.push_back(m.data[i * m.row_stride + j * m.col_stride]);
    }
  }
  body({copy.data(), m.rows, m.cols, m.cols, 1});
}

}  // namespace millrace
