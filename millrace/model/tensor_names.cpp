#include "millrace/model/tensor_names.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "millrace/base/thread_pool.h"
#include "millrace/graph/ops/unit_rows.h"
#include "millrace/tensor/quantize.h"

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

const RowPart& part_of(const TensorSpec& spec, FileLayout layout) {
  return layout == FileLayout::gguf ? spec.gguf_rows : spec.packed_rows;
}

const std::string& name_of(const TensorSpec& spec, FileLayout layout) {
  if (layout == FileLayout::gguf) return spec.gguf_name;
  return spec.packed_in.empty() ? spec.name : spec.packed_in;
}

std::string name_in_file(const Model& model, size_t i, FileLayout layout) {
  std::string name = name_of(model.spec(i), layout);
  size_t braces = name.find("{}");
  if (braces == std::string::npos) return name;
  const size_t layers = (i - model.specs().outer.size()) / model.specs().layer.size();
  const int64_t layer = static_cast<int64_t>(layers) - model.spec(i).first_layer;
  return name.replace(braces, 2, std::to_string(layer));
}

/// With the extents that the parameter has and as many rows.
Shape with_rows(const Shape& shape, int64_t rows) {
  return shape.rank() == 1 ? Shape{rows} : Shape{rows, shape[1]};
}

Shape with_front(int64_t extent, const Shape& shape) {
  return shape.rank() == 1 ? Shape{extent, shape[0]} : Shape{extent, shape[0], shape[1]};
}

/// A file's tensor, or one slice of it, as our rows.
Shape shape_of_slice(const TensorSpec& spec, const RowPart& part) {
  const Shape shape = part.turned ? with_turned_matrices(spec.shape) : spec.shape;
  return part.group_rows == 0 ? shape : with_rows(shape, part.groups * part.group_rows);
}

bool is_turned(const TensorSpec& spec, FileLayout layout) {
  return layout == FileLayout::hugging_face && spec.transposed;
}

Shape shape_in_file(const TensorSpec& spec, FileLayout layout) {
  const RowPart& part = part_of(spec, layout);
  Shape shape = shape_of_slice(spec, part);
  if (is_turned(spec, layout)) shape = with_turned_matrices(shape);
  if (layout == FileLayout::hugging_face && spec.published_shape.rank() > 0) {
    return spec.published_shape;
  }
  // ggml does not tell a matrix of one row from a vector, and llama.cpp writes a vector.
  if (layout == FileLayout::gguf && shape.rank() == 2 && shape[0] == 1) shape = {shape[1]};
  return part.slices == 0 ? shape : with_front(part.slices, shape);
}

/// Calls copy(first row in the file's tensor, first row of the parameter, rows) for each group.
template <typename Copy>
void for_each_group(const RowPart& part, int64_t rows, const Copy& copy) {
  if (part.group_rows == 0) return copy(0, 0, rows);
  const int64_t count = rows / part.groups;
  for (int64_t g = 0; g < part.groups; ++g) {
    copy(g * part.group_rows + part.begin, g * count, count);
  }
}

/// One slice along the first dimension, without that dimension.
Tensor slice_of(const Tensor& tensor, int64_t slice) {
  const std::span<const int64_t> extents = tensor.shape().extents();
  return tensor.rows(slice, slice + 1).reshaped(Shape(extents.subspan(1)));
}

/// A vector or a matrix whose other extents are 1.
Tensor without_ones(const Tensor& tensor, int rank) {
  if (rank == 1) return tensor.reshaped({tensor.count()});
  return tensor.reshaped({tensor.shape()[0], tensor.count() / tensor.shape()[0]});
}

Tensor rows_of(const Tensor& tensor, const RowPart& part, const Shape& shape) {
  if (part.group_rows == 0) return tensor.reshaped(shape);
  if (part.groups == 1) return tensor.rows(part.begin, part.begin + shape[0]);
  Tensor result(tensor.dtype(), shape, false);
  const size_t row_bytes = result.bytes() / static_cast<size_t>(shape[0]);
  for_each_group(part, shape[0], [&](int64_t from, int64_t to, int64_t count) {
    std::memcpy(result.data() + static_cast<size_t>(to) * row_bytes,
                tensor.data() + static_cast<size_t>(from) * row_bytes,
                static_cast<size_t>(count) * row_bytes);
  });
  return result;
}

/// Every slice transposed; a matrix is one.
Tensor with_turned_slices(const Tensor& tensor) {
  if (tensor.shape().rank() == 2) return transposed(tensor);
  const Shape& shape = tensor.shape();
  Tensor result(DType::f32, {shape[0], shape[2], shape[1]}, false);
  for (int64_t i = 0; i < shape[0]; ++i) {
    const Tensor turned = transposed(slice_of(tensor, i));
    std::copy_n(turned.f32().data(), turned.count(), slice_of(result, i).f32().data());
  }
  return result;
}

}  // namespace

std::vector<FileTensor> file_tensors(const Model& model, FileLayout layout) {
  std::vector<FileTensor> tensors;
  std::unordered_map<std::string, size_t> packed;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    if (model.parameters()[i].name.empty()) continue;
    const TensorSpec& spec = model.spec(i);
    std::string name = name_in_file(model, i, layout);
    if (name.empty()) continue;  // the layout has no place for it
    if (!part_of(spec, layout).is_whole()) {
      const auto [at, is_new] = packed.try_emplace(name, tensors.size());
      if (!is_new) {
        tensors[at->second].parameters.push_back(i);
        continue;
      }
    }
    tensors.push_back({std::move(name), shape_in_file(spec, layout), {i}});
  }
  return tensors;
}

Tensor part_of_file(const Tensor& tensor, const RowPart& part, bool turned, const Shape& shape) {
  Tensor slice = part.slices == 0 ? tensor : slice_of(tensor, part.slice);
  if (slice.shape().rank() > shape.rank()) slice = without_ones(slice, shape.rank());
  if (turned && slice.shape().rank() == 2) slice = transposed(dequantized(slice));
  const Tensor rows = rows_of(slice, part, part.turned ? with_turned_matrices(shape) : shape);
  return part.turned ? transposed(dequantized(rows)) : rows;
}

void put_part(const Tensor& values, const RowPart& part, Tensor& whole) {
  const Tensor rows = part.turned ? transposed(values) : values;
  const Tensor slice = part.slices == 0 ? whole : slice_of(whole, part.slice);
  const int64_t count = rows.shape()[0], width = rows.count() / count;
  for_each_group(part, count, [&](int64_t to, int64_t from, int64_t group) {
    std::copy_n(rows.f32().data() + from * width, group * width, slice.f32().data() + to * width);
  });
}

Shape with_turned_matrices(const Shape& shape) {
  std::vector<int64_t> extents(shape.extents().begin(), shape.extents().end());
  if (extents.size() >= 2) std::swap(extents[extents.size() - 1], extents[extents.size() - 2]);
  return Shape(extents);
}

Tensor values_of(const Model& model, const FileTensor& tensor, FileLayout layout) {
  const TensorSpec& first = model.spec(tensor.parameters.front());
  Tensor whole;
  for (size_t i : tensor.parameters) {
    const TensorSpec& spec = model.spec(i);
    Tensor values = values_of(model.parameters()[i]);
    values = with_turned_heads(values,
                               layout == FileLayout::gguf ? spec.gguf_turn : spec.published_turn);
    if (layout == FileLayout::gguf) {
      values = with_interleaved_heads(values, spec.interleaved_heads);
      if (spec.gguf_negative_exp) {
        values = values.clone();
        for (float& x : values.f32()) x = -std::exp(x);
      }
      if (spec.unit_rows) values = with_unit_rows(values);  // of such heads GGUF knows nothing
    } else if (spec.offset != 0) {
      values = values.clone();
      for (float& x : values.f32()) x -= spec.offset;
    }
    const RowPart& part = part_of(spec, layout);
    if (part.is_whole()) {
      whole = values;
      break;
    }
    const Shape shape = shape_of_slice(spec, part);
    if (whole.empty()) {
      whole = Tensor(DType::f32, part.slices == 0 ? shape : with_front(part.slices, shape));
    }
    put_part(values, part, whole);
  }
  return is_turned(first, layout) ? with_turned_slices(whole) : whole.reshaped(tensor.shape);
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

Tensor with_turned_heads(const Tensor& tensor, const HeadTurn& turn) {
  if (turn.outer == 0) return tensor;
  Tensor result(DType::f32, tensor.shape(), false);
  const int64_t times = turn.columns ? tensor.shape()[0] : 1, heads = turn.outer * turn.inner;
  const int64_t count = tensor.count() / (times * heads);  // numbers of a head side by side
  for (int64_t head = 0; head < times * heads; ++head) {
    const int64_t outer = head % heads / turn.inner, inner = head % turn.inner;
    const int64_t to = head / heads * heads + inner * turn.outer + outer;
    std::copy_n(tensor.f32().data() + head * count, count, result.f32().data() + to * count);
  }
  return result;
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
