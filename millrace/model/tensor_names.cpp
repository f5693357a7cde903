#include "millrace/model/tensor_names.h"

#include <algorithm>
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
  size_t layer = (i - model.specs().outer.size()) / model.specs().layer.size();
  return name.replace(braces, 2, std::to_string(layer));
}

/// With the extents that the parameter has and as many rows.
Shape with_rows(const Shape& shape, int64_t rows) {
  return shape.rank() == 1 ? Shape{rows} : Shape{rows, shape[1]};
}

Shape shape_in_file(const TensorSpec& spec, FileLayout layout) {
  const RowPart& part = part_of(spec, layout);
  Shape shape =
      part.group_rows == 0 ? spec.shape : with_rows(spec.shape, part.groups * part.group_rows);
  const bool turned = layout == FileLayout::hugging_face && spec.transposed;
  return turned ? Shape{shape[1], shape[0]} : shape;
}

/// Calls copy(first row in the file's tensor, first row of the parameter, rows) for each group.
template <typename Copy>
void for_each_group(const RowPart& part, int64_t rows, const Copy& copy) {
  const int64_t count = rows / part.groups;
  for (int64_t g = 0; g < part.groups; ++g) {
    copy(g * part.group_rows + part.begin, g * count, count);
  }
}

}  // namespace

std::vector<FileTensor> file_tensors(const Model& model, FileLayout layout) {
  std::vector<FileTensor> tensors;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    if (model.parameters()[i].name.empty()) continue;
    const TensorSpec& spec = model.spec(i);
    std::string name = name_in_file(model, i, layout);
    auto found = tensors.end();
    if (part_of(spec, layout).group_rows > 0) {
      found = std::find_if(tensors.begin(), tensors.end(),
                           [&](const FileTensor& tensor) { return tensor.name == name; });
    }
    if (found == tensors.end()) {
      tensors.push_back({std::move(name), shape_in_file(spec, layout), {i}});
    } else {
      found->parameters.push_back(i);
    }
  }
  return tensors;
}

Tensor rows_of_part(const Tensor& tensor, const RowPart& part, const Shape& shape) {
  if (part.group_rows == 0) return tensor;
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

Tensor values_of(const Model& model, const FileTensor& tensor, FileLayout layout) {
  const TensorSpec& first = model.spec(tensor.parameters.front());
  Tensor whole;
  for (size_t i : tensor.parameters) {
    const TensorSpec& spec = model.spec(i);
    Tensor values = values_of(model.parameters()[i]);
    if (layout == FileLayout::gguf) {
      values = with_interleaved_heads(values, spec.interleaved_heads);
    } else if (spec.offset != 0) {
      values = values.clone();
      for (float& x : values.f32()) x -= spec.offset;
    }
    const RowPart& part = part_of(spec, layout);
    if (part.group_rows == 0) {
      whole = values;
      break;
    }
    if (whole.empty()) {
      whole = Tensor(DType::f32, with_rows(spec.shape, part.groups * part.group_rows));
    }
    const int64_t width = values.count() / spec.shape[0];
    for_each_group(part, spec.shape[0], [&](int64_t to, int64_t from, int64_t count) {
      std::copy_n(values.f32().data() + from * width, count * width,
                  whole.f32().data() + to * width);
    });
  }
  const bool turned = layout == FileLayout::hugging_face && first.transposed;
  return turned ? transposed(whole) : whole;
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
