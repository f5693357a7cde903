// How a model's tensors are named and ordered in files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "millrace/model/model.h"

namespace millrace {

/// Whose names and order of rows a file has.
enum class FileLayout : uint8_t { hugging_face, gguf };

/// One tensor of a file: its name, its shape, and which parameters() lie in it.
struct FileTensor {
  std::string name;
  Shape shape;
  std::vector<size_t> parameters;
};

/// "model.layers.0.mlp.up_proj" → "up_proj".
inline std::string last_name(std::string_view path) {
  return std::string(path.substr(path.rfind('.') + 1));
}

/// The tensors of a model's file, in the order of its parameters.
std::vector<FileTensor> file_tensors(const Model& model, FileLayout layout);

/// The part of a file's tensor that is a parameter of `shape`; shares the bytes where it can. The
/// file's matrices are `turned` when they are [in, out].
Tensor part_of_file(const Tensor& tensor, const RowPart& part, bool turned, const Shape& shape);

/// The other way: puts a parameter's rows where they lie in the file's tensor, f32 both.
void put_part(const Tensor& values, const RowPart& part, Tensor& whole);

/// The shape with the last two extents changed, where there are two.
Shape with_turned_matrices(const Shape& shape);

/// A file's tensor as f32, put together from the parameters in it.
Tensor values_of(const Model& model, const FileTensor& tensor, FileLayout layout);

/// Rows [heads · head_dim, …] from GGUF's order for interleaved rope to Hugging Face's halves.
/// `heads` 0: as it is. Works on quantised tensors too, row by row.
Tensor with_half_split_heads(const Tensor& tensor, int64_t heads);
/// The other way.
Tensor with_interleaved_heads(const Tensor& tensor, int64_t heads);

/// A copy whose heads are in another order; the tensor itself where they are not to be.
Tensor with_turned_heads(const Tensor& tensor, const HeadTurn& turn);

/// A transposed copy of an f32 matrix.
Tensor transposed(const Tensor& matrix);

/// A parameter's values as f32, from its master copy or its packed form.
Tensor values_of(const Parameter& parameter);

}  // namespace millrace
