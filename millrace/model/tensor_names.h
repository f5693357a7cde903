// How a model's tensors are named and ordered in files.
#pragma once

#include <string>

#include "millrace/model/model.h"

namespace millrace {

/// llama.cpp's name of parameters()[i].
std::string gguf_name(const Model& model, size_t i);

/// Rows [heads · head_dim, …] from GGUF's order for interleaved rope to Hugging Face's halves.
/// `heads` 0: as it is. Works on quantised tensors too, row by row.
Tensor with_half_split_heads(const Tensor& tensor, int64_t heads);
/// The other way.
Tensor with_interleaved_heads(const Tensor& tensor, int64_t heads);

/// A transposed copy of an f32 matrix.
Tensor transposed(const Tensor& matrix);

/// A parameter's values as f32, from its master copy or its packed form.
Tensor values_of(const Parameter& parameter);

}  // namespace millrace
