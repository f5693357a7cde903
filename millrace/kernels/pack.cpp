// Weights on their way into panels and single rows on their way out.
#include <algorithm>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/dense_tile.h"
#include "millrace/kernels/quantized_matmul.h"

namespace millrace {
namespace {

void reserve(PackedMatrix& out, DType type, int64_t n, int64_t k) {
  auto bytes = static_cast<size_t>((n + kPanel - 1) / kPanel * panel_bytes(type, k));
  if (out.bytes == nullptr || out.bytes.use_count() > 1 || out.bytes->size() < bytes) {
    out.bytes = nullptr;
    out.bytes = Storage::allocate(bytes, false);
  }
  out.type = type;
  out.n = n;
  out.k = k;
}

/// A part of a packed matrix: `panels` panels over `depth` values of k. Cut along the direction in
/// which the weight's memory runs, so that a part reads long runs of it.
struct PartSize {
  int64_t panels;
  int64_t depth;  // even
};
constexpr PartSize kAlongRows{1, 512};
constexpr PartSize kAlongColumns{32, 32};

/// Calls `body(panel, first k, values of k)` for every panel of every part, parts in parallel.
template <typename Body>
void for_each_panel(const PackedMatrix& w, PartSize size, const Body& body) {
  int64_t panels = (w.n + kPanel - 1) / kPanel;
  int64_t depths = (w.k + size.depth - 1) / size.depth;
  int64_t groups = (panels + size.panels - 1) / size.panels;
  parallel_for(groups * depths, [&](int64_t i) {
    int64_t first = i / depths * size.panels;
    int64_t k = i % depths * size.depth;
    for (int64_t panel = first; panel < std::min(panels, first + size.panels); ++panel) {
      body(panel, k, std::min(size.depth, w.k - k));
    }
  });
}

std::byte* part(const PackedMatrix& w, int64_t panel, int64_t k) {
  return w.bytes->data() + panel * panel_bytes(w.type, w.k) + panel_bytes(w.type, k);
}

/// 16-bit values in their own type: only their order changes.
PackedMatrix pack_halves(const Tensor& w) {
  PackedMatrix out;
  reserve(out, w.dtype(), w.shape()[0], w.shape()[1]);
  std::span<const uint16_t> values = w.as<uint16_t>();
  int64_t step = w.dtype() == DType::bf16 ? 2 : 1;  // values of one output side by side
  for_each_panel(out, kAlongRows, [&](int64_t panel, int64_t k, int64_t depth) {
    auto to = reinterpret_cast<uint16_t*>(part(out, panel, k));
    std::fill_n(to, panel_bytes(out.type, depth) / 2, uint16_t{0});
    int64_t rows = std::min<int64_t>(kPanel, out.n - panel * kPanel);
    for (int64_t j = 0; j < rows; ++j) {
      const uint16_t* from = &values[static_cast<size_t>((panel * kPanel + j) * out.k + k)];
      for (int64_t i = 0; i < depth; ++i) {
        to[(i / step * kPanel + j) * step + i % step] = from[i];
      }
    }
  });
  return out;
}

}  // namespace

void pack(const MatrixView& w, Arithmetic arithmetic, PackedMatrix& out) {
  reserve(out, arithmetic == Arithmetic::bf16 ? DType::bf16 : DType::f32, w.rows, w.cols);
  const DenseKernels& kernels = dense_kernels(out.type);
  with_unit_stride(w, [&](const MatrixView& whole) {
    PartSize size = whole.col_stride == 1 ? kAlongRows : kAlongColumns;
    for_each_panel(out, size, [&](int64_t panel, int64_t k, int64_t depth) {
      MatrixView block = whole;
      block.data += panel * kPanel * whole.row_stride + k * whole.col_stride;
      block.rows = std::min<int64_t>(kPanel, whole.rows - panel * kPanel);
      block.cols = depth;
      kernels.pack_panel(block, arithmetic, part(out, panel, k));
    });
  });
}

PackedMatrix pack(const Tensor& w) {
  require(w.shape().rank() == 2, "a weight must be a matrix, not a tensor of shape {}", w.shape());
  if (is_quantized(w.dtype())) return pack_quantized(w);
  if (w.dtype() == DType::bf16 || w.dtype() == DType::f16) return pack_halves(w);
  PackedMatrix out;
  pack(view(w), Arithmetic::f32, out);
  return out;
}

uint64_t packed_bytes(DType type, int64_t n, int64_t k) {
  if (is_quantized(type)) return quantized_bytes(type, n, k);
  return static_cast<uint64_t>((n + kPanel - 1) / kPanel * panel_bytes(type, k));
}

void unpack_row(const PackedMatrix& w, int64_t row, float* out) {
  require(0 <= row && row < w.n, "row {} of a weight of {}", row, w.n);
  if (is_quantized(w.type)) return unpack_quantized_row(w, row, out);
  const std::byte* panel = part(w, row / kPanel, 0);
  int64_t j = row % kPanel;
  for (int64_t k = 0; k < w.k; ++k) {
    if (w.type == DType::f32) {
      out[k] = reinterpret_cast<const float*>(panel)[k * kPanel + j];
    } else if (w.type == DType::f16) {
      out[k] = to_float(reinterpret_cast<const Float16*>(panel)[k * kPanel + j]);
    } else {
      out[k] = to_float(reinterpret_cast<const BFloat16*>(panel)[(k / 2 * kPanel + j) * 2 + k % 2]);
    }
  }
}

}  // namespace millrace
