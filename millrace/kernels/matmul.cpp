// The blocking of dense products: which thread multiplies which block, in which order.
#include "millrace/kernels/matmul.h"

#include <algorithm>
#include <memory>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/dense_tile.h"
#include "millrace/kernels/quantized_matmul.h"

namespace millrace {
namespace {

// Below this many multiply-adds a task costs less than handing it over.
constexpr int64_t kMinTask = int64_t{1} << 17;

// A piece of a weight that is packed on the way into a product: so small that it stays in the
// third-level cache until it is multiplied, and of so many k that sums are seldom loaded again.
constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int64_t kPieceDepth = 4096;

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// How a product is cut into tasks: blocks of rows of x times ranges of panels of w.
struct Plan {
  int64_t rows;    // in a block
  int64_t panels;  // in a range
  int64_t blocks;
  int64_t ranges;
};

Plan plan_tasks(const DenseKernels& kernels, int64_t m, int64_t n, int64_t k) {
  int64_t panels = divide_up(n, kPanel);
  int64_t threads = num_threads();
  // A few tasks for each thread, so that all end together.
  int64_t wanted = std::clamp<int64_t>(m * n * k / kMinTask, 1, threads == 1 ? 1 : 4 * threads);
  // Each task converts its block of x for itself: cut rows first, which converts nothing twice.
  Plan plan{};
  plan.blocks = std::max(divide_up(m, kernels.max_block),
                         std::clamp<int64_t>(m / kernels.min_block, 1, wanted));
  if (plan.blocks > threads) plan.blocks = divide_up(plan.blocks, threads) * threads;
  plan.rows = divide_up(m, plan.blocks);
  plan.blocks = divide_up(m, plan.rows);
  plan.panels = divide_up(panels, std::min(panels, divide_up(wanted, plan.blocks)));
  plan.ranges = divide_up(panels, plan.panels);
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
  tile.panels = 1;
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

/// Asks the caches for `bytes` bytes before they are read.
void prefetch_weights(const std::byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/// Asks the caches for the sums of a tile before they are read or written.
void prefetch_sums(const float* y, int64_t y_stride, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, y += y_stride) {
    __builtin_prefetch(y, 1);
    __builtin_prefetch(y + kPanel / 2, 1);
  }
}

/// Rows [0, rows) of a block of x times panels [first, last) over one block of k. `start` is the
/// tile of row 0 and panel 0, `panel_depth` the bytes of a panel over the block of k.
void multiply_panels(const DenseKernels& kernels, const PackedMatrix& w, int64_t rows,
                     int64_t first, int64_t last, const Tile& start, int64_t panel_depth) {
  int64_t whole_rows = divide_up(rows, divide_up(rows, kernels.max_rows));
  int64_t whole = std::min(last, w.n / kPanel);
  // Several tiles of rows take turns at a panel in the cache; a single one runs through them all.
  bool turns = rows > whole_rows;
  int64_t step = turns ? 1 : std::max<int64_t>(whole - first, 1);
  int64_t share = divide_up(panel_depth, divide_up(rows, whole_rows));
  // Field by field: a copy of a tile just written would wait for the last one's sums to be stored.
  Tile tile = start;
  for (int64_t panel = first; panel < last; panel += panel < whole ? step : 1) {
    int64_t tile_rows = panel < whole ? whole_rows : std::min<int64_t>(whole_rows, kMaxTileRows);
    for (int64_t row = 0; row < rows; row += tile_rows) {
      tile.x = start.x + row * kRowStride;
      tile.w = start.w + panel * start.panel_stride;
      tile.y = start.y + row * start.y_stride + panel * kPanel;
      tile.rows = static_cast<int>(std::min(tile_rows, rows - row));
      if (turns) {
        // While this tile is multiplied, its share of the next panel and the next sums arrive.
        int64_t next_rows = std::min(tile_rows, rows - row - tile_rows);
        prefetch_sums(tile.y + tile_rows * tile.y_stride, tile.y_stride, next_rows);
        if (panel + 1 < whole) {
          prefetch_weights(tile.w + tile.panel_stride + row / tile_rows * share, share);
        }
      }
      if (panel < whole) {
        tile.panels = static_cast<int>(step);
        kernels.tile(w.type, tile);
      } else {
        partial_tile(kernels, w.type, tile, w.n - whole * kPanel);
      }
    }
  }
}

/// One task: a block of x times panels [first, last), block by block of k. `y` is the block's row
/// 0.
void multiply_block(const DenseKernels& kernels, const MatrixView& x, const PackedMatrix& w,
                    int64_t first, int64_t last, float* y, int64_t y_stride, bool accumulate) {
  bool bf16 = w.type == DType::bf16;
  int64_t block_k = kRowBytes / (bf16 ? kernels.bf16_bytes : 4);
  std::byte* block = block_scratch(x.rows);
  for (int64_t k = 0; k < w.k; k += block_k) {
    int64_t depth = std::min(block_k, w.k - k);
    kernels.pack_x({x.data + k * x.col_stride, x.rows, depth, x.row_stride, x.col_stride},
                   bf16 ? Arithmetic::bf16 : Arithmetic::f32, block);
    Tile tile{};
    tile.x = block;
    tile.w = w.bytes->data() + panel_bytes(w.type, k);
    tile.panel_stride = panel_bytes(w.type, w.k);
    tile.steps = bf16 ? divide_up(depth, 2) : depth;
    tile.y = y;
    tile.y_stride = y_stride;
    tile.accumulate = accumulate || k > 0;
    multiply_panels(kernels, w, x.rows, first, last, tile, panel_bytes(w.type, depth));
  }
}

}  // namespace

MatrixView view(const Tensor& matrix) {
  require(matrix.shape().rank() == 2, "a matrix expected, not a tensor of shape {}",
          matrix.shape());
  return {matrix.f32().data(), matrix.shape()[0], matrix.shape()[1], matrix.shape()[1], 1};
}

const DenseKernels& dense_kernels(DType type) {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::amx:
      if (type == DType::bf16) return kAmxDenseKernels;
      return kAvx512Bf16DenseKernels;
    case Isa::avx512_bf16:
      return kAvx512Bf16DenseKernels;
    case Isa::avx512:
      return kAvx512DenseKernels;
    case Isa::avx2:
      return kAvx2DenseKernels;
    case Isa::neon:
    case Isa::scalar:
      break;
  }
#elif defined(__aarch64__)
  if (isa() == Isa::neon) return kNeonDenseKernels;
#endif
  static_cast<void>(type);
  return kScalarDenseKernels;
}

void matmul(const MatrixView& x, const PackedMatrix& w, float* y, int64_t y_stride,
            bool accumulate) {
  require(x.cols == w.k, "a product of x [{}, {}] with a weight [{}, {}]", x.rows, x.cols, w.n,
          w.k);
  if (is_quantized(w.type)) {
    const Product product{&w, y, y_stride};
    return quantized_matmul(x, {&product, 1}, accumulate);
  }
  dense_matmul(dense_kernels(w.type), x, w, y, y_stride, accumulate);
}

void matmul(const MatrixView& x, const MatrixView& w, Arithmetic arithmetic, float* y,
            int64_t y_stride, bool accumulate) {
  require(x.cols == w.cols, "a product of x [{}, {}] with a weight [{}, {}]", x.rows, x.cols,
          w.rows, w.cols);
  thread_local PackedMatrix packed;
  const DType type = arithmetic == Arithmetic::bf16 ? DType::bf16 : DType::f32;
  const int64_t depth = std::clamp<int64_t>(w.cols, 1, kPieceDepth);
  const int64_t panels = std::max<int64_t>(1, kPieceBytes / panel_bytes(type, depth));
  MatrixView x_piece = x, piece = w;
  for (int64_t k = 0; k == 0 || k < w.cols; k += depth) {
    x_piece.data = x.data + k * x.col_stride;
    x_piece.cols = piece.cols = std::min(depth, w.cols - k);
    for (int64_t row = 0; row < w.rows; row += panels * kPanel) {
      piece.data = w.data + row * w.row_stride + k * w.col_stride;
      piece.rows = std::min(panels * kPanel, w.rows - row);
      pack(piece, arithmetic, packed);
      matmul(x_piece, packed, y + row, y_stride, accumulate || k > 0);
    }
  }
}

void dense_matmul(const DenseKernels& kernels, const MatrixView& x, const PackedMatrix& w, float* y,
                  int64_t y_stride, bool accumulate) {
  if (x.rows == 0 || w.n == 0) return;
  if (w.k == 0) {
    for (int64_t i = 0; i < x.rows && !accumulate; ++i) std::fill_n(y + i * y_stride, w.n, 0.0f);
    return;
  }
  Plan plan = plan_tasks(kernels, x.rows, w.n, w.k);
  with_unit_stride(x, [&](const MatrixView& whole) {
    parallel_for(plan.blocks * plan.ranges, [&](int64_t task) {
      int64_t row = task / plan.ranges * plan.rows;
      int64_t panel = task % plan.ranges * plan.panels;
      MatrixView block = whole;
      block.data += row * whole.row_stride;
      block.rows = std::min(plan.rows, whole.rows - row);
      multiply_block(kernels, block, w, panel,
                     std::min(panel + plan.panels, divide_up(w.n, kPanel)), y + row * y_stride,
                     y_stride, accumulate);
    });
  });
}

void matmul(const MatrixView& x, std::span<const Product> products) {
  const bool quantized = std::all_of(products.begin(), products.end(),
                                     [](const Product& p) { return is_quantized(p.w->type); });
  if (quantized) return quantized_matmul(x, products, false);
  for (const Product& p : products) matmul(x, *p.w, p.y, p.y_stride);
}

}  // namespace millrace
