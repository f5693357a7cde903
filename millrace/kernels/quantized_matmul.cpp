// Products with quantised weights: packing, and which thread multiplies which panels.
#include "millrace/kernels/quantized_matmul.h"

#include <algorithm>
#include <array>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/quantized_tile.h"

namespace millrace {
namespace {

constexpr int64_t kScratchBytes = 8 << 20;   // of rounded rows at a time
constexpr int64_t kCachedBytes = 256 << 10;  // of panels that many rows take turns at
constexpr int64_t kMinTask = 1 << 17;        // multiply-adds that are worth a task
constexpr size_t kMaxProducts = 4;           // of one x at a time

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

int64_t num_panels(const PackedMatrix& w) {
  return divide_up(w.n, kQuantPanel);
}

/// Rounded rows times panels [first, last).
void multiply_panels(const QuantizedKernels& kernel, const RoundedBlock* x, int64_t rows,
                     const Product& product, int64_t first, int64_t last, bool accumulate) {
  const PackedMatrix& w = *product.w;
  int64_t stride = panel_layout(block_format(w.type)).panel_bytes(w.k);
  QuantizedTile tile{};
  tile.blocks = tile.x_stride = w.k / kQuantBlock;
  tile.y_stride = product.y_stride;
  tile.accumulate = accumulate;
  for (int64_t row = 0; row < rows; row += kernel.max_rows) {
    tile.rows = static_cast<int>(std::min<int64_t>(kernel.max_rows, rows - row));
    tile.x = x + row * tile.x_stride;
    for (int64_t p = first; p < last; ++p) {
      tile.panel = w.bytes->data() + p * stride;
      tile.y = product.y + row * product.y_stride + p * kQuantPanel;
      run_tile(kernel, w, tile, w.n - p * kQuantPanel);
    }
  }
}

/// y [rows, n] = or += rounded rows · wᵀ. The panels of all products are shared out together.
void multiply_rounded(const QuantizedKernels& kernel, const RoundedBlock* x, int64_t rows,
                      std::span<const Product> products, bool accumulate) {
  int64_t panels = 0, work = 0, stride = 1;
  for (const Product& product : products) {
    const PackedMatrix& w = *product.w;
    panels += num_panels(w);
    work += rows * w.n * w.k;
    stride = std::max(stride, panel_layout(block_format(w.type)).panel_bytes(w.k));
  }
  if (panels == 0) return;
  int64_t tasks = num_threads() == 1 ? 1 : 4 * num_threads();
  tasks = std::clamp<int64_t>(work / kMinTask, 1, tasks);
  int64_t grain = divide_up(panels, std::min(tasks, panels));
  if (rows > kMaxQuantRows) grain = std::clamp<int64_t>(kCachedBytes / stride, 1, grain);
  parallel_ranges(panels, grain, [&](int64_t first, int64_t last) {
    for (const Product& product : products) {
      int64_t count = num_panels(*product.w);
      if (first < count && last > 0) {
        multiply_panels(kernel, x, rows, product, std::max<int64_t>(first, 0),
                        std::min(last, count), accumulate);
      }
      first -= count;
      last -= count;
    }
  });
}

/// Whether weights of both formats round the rows of x to the same blocks.
bool round_alike(const BlockFormat& a, const BlockFormat& b) {
  return a.group_size() == b.group_size() && a.zero == b.zero &&
         (a.levels != nullptr) == (b.levels != nullptr);
}

/// Products whose weights round x alike.
void round_and_multiply(const QuantizedKernels& kernel, const MatrixView& x,
                        std::span<const Product> products, bool accumulate) {
  const BlockFormat& format = block_format(products[0].w->type);
  int64_t blocks = x.cols / kQuantBlock;
  int64_t most = kScratchBytes / (std::max<int64_t>(blocks, 1) * int64_t{sizeof(RoundedBlock)});
  most = std::max<int64_t>(most / 32 * 32, 32);
  std::array<Product, kMaxProducts> parts;
  std::copy(products.begin(), products.end(), parts.begin());
  for (int64_t begin = 0; begin < x.rows; begin += most) {
    int64_t rows = std::min(most, x.rows - begin);
    RoundedBlock* rounded = scratch_blocks(rows * blocks);
    parallel_ranges(rows, std::max<int64_t>(kMinTask / 8 / std::max<int64_t>(x.cols, 1), 1),
                    [&](int64_t first, int64_t last) {
                      for (int64_t i = first; i < last; ++i) {
                        kernel.round_row(format, contiguous_row(x, begin + i), x.cols,
                                         rounded + i * blocks);
                      }
                    });
    multiply_rounded(kernel, rounded, rows, {parts.data(), products.size()}, accumulate);
    for (Product& part : parts) part.y += rows * part.y_stride;
  }
}

}  // namespace

uint64_t quantized_bytes(DType type, int64_t n, int64_t k) {
  return static_cast<uint64_t>(divide_up(n, kQuantPanel) *
                               panel_layout(block_format(type)).panel_bytes(k));
}

PackedMatrix pack_quantized(const Tensor& w) {
  const BlockFormat& format = block_format(w.dtype());
  require(w.shape().rank() == 2, "a weight must be a matrix, not a tensor of shape {}", w.shape());
  int64_t n = w.shape()[0], k = w.shape()[1];
  require(k % format.values == 0, "a {} weight of shape {}: rows must fill blocks of {}",
          info(w.dtype()).name, w.shape(), format.values);
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

void quantized_matmul(const MatrixView& x, std::span<const Product> products, bool accumulate) {
  quantized_matmul(kernels(), x, products, accumulate);
}

void quantized_matmul(const QuantizedKernels& kernel, const MatrixView& x,
                      std::span<const Product> products, bool accumulate) {
  for (const Product& product : products) {
    require(x.cols == product.w->k, "a product of x [{}, {}] with a weight [{}, {}]", x.rows,
            x.cols, product.w->n, product.w->k);
  }
  if (x.rows == 0) return;
  for (size_t begin = 0, end; begin < products.size(); begin = end) {
    const BlockFormat& format = block_format(products[begin].w->type);
    for (end = begin + 1; end < products.size() && end - begin < kMaxProducts; ++end) {
      if (!round_alike(format, block_format(products[end].w->type))) break;
    }
    round_and_multiply(kernel, x, products.subspan(begin, end - begin), accumulate);
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
