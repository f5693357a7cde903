// Products with quantised weights: packing, and which thread multiplies which panels.
#include "millrace/kernels/quantized_matmul.h"

#include <algorithm>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/quantized_tile.h"

namespace millrace {
namespace {

constexpr int64_t kScratchBytes = 8 << 20;   // of rounded rows at a time
constexpr int64_t kCachedBytes = 256 << 10;  // of panels that many rows take turns at
constexpr int64_t kMinTask = 1 << 17;        // multiply-adds that are worth a task

const QuantizedKernels& kernels() {
#if defined(__x86_64__)
  static const bool has_vnni = __builtin_cpu_supports("avx512vnni");
  if (isa() >= Isa::amx) return kAmxQuantizedKernels;
  if (isa() >= Isa::avx512 && has_vnni) return kVnniQuantizedKernels;
  if (isa() >= Isa::avx2) return kAvx2QuantizedKernels;
#endif
  return kScalarQuantizedKernels;
}

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// This thread's memory for rounded rows, kept between calls.
RoundedBlock* scratch_blocks(int64_t count) {
  thread_local std::shared_ptr<Storage> scratch;
  size_t bytes = static_cast<size_t>(count) * sizeof(RoundedBlock);
  if (scratch == nullptr || scratch->size() < bytes) scratch = Storage::allocate(bytes, false);
  return reinterpret_cast<RoundedBlock*>(scratch->data());
}

/// Row i of x with its values side by side.
const float* contiguous_row(const MatrixView& x, int64_t i) {
  const float* row = x.data + i * x.row_stride;
  if (x.col_stride == 1) return row;
  thread_local std::vector<float> copy;
  copy.resize(static_cast<size_t>(x.cols));
  for (size_t j = 0; j < copy.size(); ++j) copy[j] = row[static_cast<int64_t>(j) * x.col_stride];
  return copy.data();
}

/// Runs a tile that reaches past the last of n outputs: only `columns` of its outputs exist.
void partial_tile(const QuantizedKernels& kernel, const PackedMatrix& w, QuantizedTile tile,
                  int64_t columns) {
  float whole[kMaxQuantRows * kQuantPanel] = {};
  float* y = tile.y;
  int64_t y_stride = tile.y_stride;
  tile.y = whole;
  tile.y_stride = kQuantPanel;
  for (int r = 0; r < tile.rows && tile.accumulate; ++r) {
    std::copy_n(y + r * y_stride, columns, whole + r * kQuantPanel);
  }
  kernel.tile(w.type, tile);
  for (int r = 0; r < tile.rows; ++r) {
    std::copy_n(whole + r * kQuantPanel, columns, y + r * y_stride);
  }
}

/// Runs a tile, of which perhaps only `columns` outputs exist.
void run_tile(const QuantizedKernels& kernel, const PackedMatrix& w, const QuantizedTile& tile,
              int64_t columns) {
  if (columns >= kQuantPanel) return kernel.tile(w.type, tile);
  for (int row = 0; row < tile.rows; row += kMaxQuantRows) {
    QuantizedTile part = tile;
    part.x += row * tile.x_stride;
    part.y += row * tile.y_stride;
    part.rows = std::min(kMaxQuantRows, tile.rows - row);
    partial_tile(kernel, w, part, columns);
  }
}

/// y [rows, n] = or += rounded rows · wᵀ.
void multiply_rounded(const QuantizedKernels& kernel, const RoundedBlock* x, int64_t rows,
                      const PackedMatrix& w, float* y, int64_t y_stride, bool accumulate) {
  int64_t stride = panel_layout(block_format(w.type)).panel_bytes(w.k);
  int64_t panels = divide_up(w.n, kQuantPanel);
  int64_t tasks = num_threads() == 1 ? 1 : 4 * num_threads();
  tasks = std::clamp<int64_t>(rows * w.n * w.k / kMinTask, 1, tasks);
  int64_t grain = divide_up(panels, std::min(tasks, panels));
  if (rows > kMaxQuantRows) grain = std::clamp<int64_t>(kCachedBytes / stride, 1, grain);
  parallel_ranges(panels, grain, [&](int64_t first, int64_t last) {
    for (int64_t row = 0; row < rows; row += kernel.max_rows) {
      for (int64_t p = first; p < last; ++p) {
        QuantizedTile tile{};
        tile.blocks = tile.x_stride = w.k / kQuantBlock;
        tile.x = x + row * tile.x_stride;
        tile.panel = w.bytes->data() + p * stride;
        tile.y = y + row * y_stride + p * kQuantPanel;
        tile.y_stride = y_stride;
        tile.rows = static_cast<int>(std::min<int64_t>(kernel.max_rows, rows - row));
        tile.accumulate = accumulate;
        run_tile(kernel, w, tile, w.n - p * kQuantPanel);
      }
    }
  });
}

}  // namespace

PackedMatrix pack_quantized(const Tensor& w) {
  const BlockFormat& format = block_format(w.dtype());
  require(w.shape().rank() == 2, "a weight must be a matrix, not a tensor of shape {}",
          w.shape().text());
  int64_t n = w.shape()[0], k = w.shape()[1];
  require(k % format.values == 0, "a {} weight of shape {}: rows must fill blocks of {}",
          info(w.dtype()).name, w.shape().text(), format.values);
  int64_t stride = panel_layout(format).panel_bytes(k);
  int64_t row_bytes = k / format.values * format.bytes;
  int64_t panels = divide_up(n, kQuantPanel);
  PackedMatrix packed{w.dtype(), n, k,
                      Storage::allocate(static_cast<size_t>(panels * stride), false)};
  parallel_for(panels, [&](int64_t p) {
    int count = static_cast<int>(std::min<int64_t>(kQuantPanel, n - p * kQuantPanel));
    pack_panel(format, w.data() + p * kQuantPanel * row_bytes, count, row_bytes, k,
               packed.bytes->data() + p * stride);
  });
  return packed;
}

void quantized_matmul(const MatrixView& x, const PackedMatrix& w, float* y, int64_t y_stride,
                      bool accumulate) {
  require(x.cols == w.k, "a product of x [{}, {}] with a weight [{}, {}]", x.rows, x.cols, w.n,
          w.k);
  quantized_matmul(kernels(), x, w, y, y_stride, accumulate);
}

void quantized_matmul(const QuantizedKernels& kernel, const MatrixView& x, const PackedMatrix& w,
                      float* y, int64_t y_stride, bool accumulate) {
  if (x.rows == 0 || w.n == 0) return;
  const BlockFormat& format = block_format(w.type);
  int64_t blocks = w.k / kQuantBlock;
  int64_t most = kScratchBytes / (std::max<int64_t>(blocks, 1) * int64_t{sizeof(RoundedBlock)});
  most = std::max<int64_t>(most / 32 * 32, 32);
  for (int64_t begin = 0; begin < x.rows; begin += most) {
    int64_t rows = std::min(most, x.rows - begin);
    RoundedBlock* rounded = scratch_blocks(rows * blocks);
    parallel_ranges(rows, std::max<int64_t>(kMinTask / 8 / std::max<int64_t>(w.k, 1), 1),
                    [&](int64_t first, int64_t last) {
                      for (int64_t i = first; i < last; ++i) {
                        kernel.round_row(format, contiguous_row(x, begin + i), w.k,
                                         rounded + i * blocks);
                      }
                    });
    multiply_rounded(kernel, rounded, rows, w, y + begin * y_stride, y_stride, accumulate);
  }
}

void unpack_quantized_row(const PackedMatrix& w, int64_t row, float* out) {
  require(0 <= row && row < w.n, "row {} of a weight of {}", row, w.n);
  const BlockFormat& format = block_format(w.type);
  const std::byte* panel =
      w.bytes->data() + row / kQuantPanel * panel_layout(format).panel_bytes(w.k);
  Block block;
  for (int64_t k = 0; k < w.k; k += format.values) {
    read_panel_block(format, panel, k / format.values, static_cast<int>(row % kQuantPanel), block);
    dequantize_block(format, block, out + k);
  }
}

}  // namespace millrace
