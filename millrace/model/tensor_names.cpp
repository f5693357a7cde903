#include "millrace/model/tensor_names.h"

#include <cstring>

#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

/// Reorders the rows of each head: row `to(j)` of the result is row j.
template <typename To>
Tensor with_moved_rows(const Tensor& tensor, int64_t heads, To to) {
  if (heads == 0) return tensor;
  const int64_t rows = tensor.shape()[0], head_dim = rows / heads;
  Tensor result(tensor.dtype(), tensor.shape(), false);
  const size_t row_bytes = tensor.bytes() / static_cast<size_t>(rows);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t target = row / head_dim * head_dim + to(row % head_dim, head_dim);
    std::memcpy(result.data() + static_cast<size_t>(target) * row_bytes,
                tensor.data() + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
  return result;
}

}  // namespace

std::string gguf_name(const Model& model, size_t i) {
  std::string name = model.spec(i).gguf_name;
  size_t braces = name.find("{}");
  if (braces == std::string::npos) return name;
  size_t layer = (i - model.specs().outer.size()) / model.specs().layer.size();
  return name.replace(braces, 2, std::to_string(layer));
}

Tensor with_half_split_heads(const Tensor& tensor, int64_t heads) {
  return with_moved_rows(
      tensor, heads, [](int64_t j, int64_t head_dim) { return j % 2 * (head_dim / 2) + j / 2; });
}

Tensor with_interleaved_heads(const Tensor& tensor, int64_t heads) {
  return with_moved_rows(tensor, heads, [](int64_t j, int64_t head_dim) {
    return j % (head_dim / 2) * 2 + j / (head_dim / 2);
  });
}

Tensor transposed(const Tensor& matrix) {
  const int64_t rows = matrix.shape()[0], cols = matrix.shape()[1];
  Tensor result(DType::f32, {cols, rows}, false);
  const float* in = matrix.f32().data();
  float* out = result.f32().data();
  parallel_ranges(cols, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = begin; col < end; ++col) out[col * rows + row] = in[row * cols + col];
    }
  });
  return result;
}

Tensor values_of(const Parameter& parameter) {
  if (!parameter.value.empty()) return parameter.value;
  const PackedMatrix& packed = parameter.packed;
  Tensor result(DType::f32, parameter.shape, false);
  float* out = result.f32().data();
  parallel_ranges(packed.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) unpack_row(packed, row, out + row * packed.k);
  });
  return result;
}

}  // namespace millrace
