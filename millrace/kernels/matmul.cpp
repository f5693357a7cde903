// The blocking of dense products: which thread multiplies which block, in which order.
#include "millrace/kernels/matmul.h"

#include <algorithm>
#include <memory>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/dense_tile.h"
#include "millrace/kernels/quantized_matmul.h"

namespace millrace {
namespace {

// Rows of x converted at a time: with kRowBytes of k each they stay in the second-level cache.
constexpr int64_t kMaxRows = 192;
constexpr int64_t kMinRows = 48;
// Below this many multiply-adds a task costs less than handing it over.
constexpr int64_t kMinTask = int64_t{1} << 17;

/// How a product is cut into tasks: row blocks times ranges of panels.
struct Plan {
  int64_t rows;    // in a block of x
  int64_t panels;  // in a range
  int64_t row_blocks;
  int64_t panel_ranges;
};

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

Plan plan_tasks(int64_t m, int64_t n, int64_t k, int tile_rows) {
  int64_t panels = divide_up(n, kPanel);
  int64_t threads = num_threads();
  int64_t wanted = threads == 1 ? 1 : 4 * threads;  // more than threads, so that they end together
  wanted = std::clamp<int64_t>(m * n * k / kMinTask, 1, wanted);
  // A row block converts its part of x for itself: cut rows first, which converts nothing twice.
  int64_t row_blocks = std::max(divide_up(m, kMaxRows), std::min(wanted, divide_up(m, kMinRows)));
  Plan plan{};
  plan.rows = divide_up(divide_up(m, row_blocks), tile_rows) * tile_rows;
  plan.row_blocks = divide_up(m, plan.rows);
  plan.panels = divide_up(panels, std::min(panels, divide_up(wanted, plan.row_blocks)));
  plan.panel_ranges = divide_up(panels, plan.panels);
  return plan;
}

/// This thread's room for a block of x.
std::byte* block_scratch(int64_t rows) {
  thread_local std::shared_ptr<Storage> scratch;
  auto bytes = static_cast<size_t>(rows * kRowStride);
  if (scratch == nullptr || scratch->size() < bytes) scratch = Storage::allocate(bytes, false);
  return scratch->data();
}

/// The last panel when n is no multiple of 32: only `columns` of its outputs exist.
void partial_tile(const DenseKernels& kernels, DType type, Tile tile, int64_t columns) {
  alignas(64) float whole[kMaxTileRows * kPanel];
  float* y = tile.y;
  int64_t y_stride = tile.y_stride;
  tile.y = whole;
  tile.y_stride = kPanel;
  for (int r = 0; r < tile.rows && tile.accumulate; ++r) {
    std::fill_n(std::copy_n(y + r * y_stride, columns, whole + r * kPanel), kPanel - columns, 0.0f);
  }
  kernels.tile(type, tile);
  for (int r = 0; r < tile.rows; ++r) std::copy_n(whole + r * kPanel, columns, y + r * y_stride);
}

/// One task's product: rows of y [rows, n] over panels [first, last).
void multiply_block(const DenseKernels& kernels, const MatrixView& x, const PackedMatrix& w,
                    int64_t first, int64_t last, float* y, int64_t y_stride, bool accumulate) {
  bool bf16 = w.type == DType::bf16;
  int64_t block_k = kRowBytes / (bf16 ? kernels.bf16_bytes : 4);
  int64_t stride = panel_bytes(w.type, w.k);
  int64_t whole_panels = std::min(last, w.n / kPanel);
  std::byte* block = block_scratch(x.rows);
  for (int64_t k = 0; k < w.k; k += block_k) {
    int64_t depth = std::min(block_k, w.k - k);
    kernels.pack_x({x.data + k * x.col_stride, x.rows, depth, x.row_stride, x.col_stride},
                   bf16 ? Arithmetic::bf16 : Arithmetic::f32, block);
    const std::byte* panels = w.bytes->data() + panel_bytes(w.type, k);
    Tile tile{};
    tile.panel_stride = stride;
    tile.steps = bf16 ? (depth + 1) / 2 : depth;
    tile.y_stride = y_stride;
    tile.accumulate = accumulate || k > 0;
    // One tile of rows takes all panels in a row; several take turns at each panel in the cache.
    int64_t step = x.rows <= kernels.max_rows ? std::max<int64_t>(last - first, 1) : 1;
    for (int64_t p = first; p < last; p += step) {
      for (int64_t i = 0; i < x.rows; i += kernels.max_rows) {
        tile.x = block + i * kRowStride;
        tile.rows = static_cast<int>(std::min<int64_t>(kernels.max_rows, x.rows - i));
        tile.w = panels + p * stride;
        tile.y = y + i * y_stride + p * kPanel;
        tile.panels = static_cast<int>(std::min(p + step, whole_panels) - p);
        if (tile.panels > 0) kernels.tile(w.type, tile);
        if (p + step > whole_panels) {
          tile.w = panels + whole_panels * stride;
          tile.y = y + i * y_stride + whole_panels * kPanel;
          tile.panels = 1;
          partial_tile(kernels, w.type, tile, w.n - whole_panels * kPanel);
        }
      }
    }
  }
}

}  // namespace

MatrixView view(const Tensor& matrix) {
  require(matrix.shape().rank() == 2, "a matrix expected, not a tensor of shape {}",
          matrix.shape().text());
  return {matrix.f32().data(), matrix.shape()[0], matrix.shape()[1], matrix.shape()[1], 1};
}

const DenseKernels& dense_kernels() {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::avx512_bf16:
      return kAvx512Bf16DenseKernels;
    case Isa::avx512:
      return kAvx512DenseKernels;
    case Isa::avx2:
      return kAvx2DenseKernels;
    case Isa::scalar:
      break;
  }
#endif
  return kScalarDenseKernels;
}

void matmul(const MatrixView& x, const PackedMatrix& w, float* y, int64_t y_stride,
            bool accumulate) {
  require(x.cols == w.k, "a product of x [{}, {}] with a weight [{}, {}]", x.rows, x.cols, w.n,
          w.k);
  if (is_quantized(w.type)) return quantized_matmul(x, w, y, y_stride, accumulate);
  if (x.rows == 0 || w.n == 0) return;
  if (w.k == 0) {
    for (int64_t i = 0; i < x.rows && !accumulate; ++i) std::fill_n(y + i * y_stride, w.n, 0.0f);
    return;
  }
  const DenseKernels& kernels = dense_kernels();
  Plan plan = plan_tasks(x.rows, w.n, w.k, kernels.max_rows);
  with_unit_stride(x, [&](const MatrixView& whole) {
    parallel_for(plan.row_blocks * plan.panel_ranges, [&](int64_t task) {
      int64_t row = task / plan.panel_ranges * plan.rows;
      int64_t panel = task % plan.panel_ranges * plan.panels;
      MatrixView block = whole;
      block.data += row * whole.row_stride;
      block.rows = std::min(plan.rows, whole.rows - row);
      multiply_block(kernels, block, w, panel,
                     std::min(panel + plan.panels, divide_up(w.n, kPanel)), y + row * y_stride,
                     y_stride, accumulate);
    });
  });
}

}  // namespace millrace
