// A model's weights as the operators see them.
#pragma once

#include <string>
#include <unordered_map>

#include "millrace/kernels/matmul.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// One weight. A matrix is used through `packed`; a vector (norm weight, bias) through `value`.
/// When it is trained, `value` is the f32 master copy and `packed` follows it.
struct Parameter {
  std::string name;                ///< as Hugging Face names it
  Shape shape;                     ///< {out, in} of a matrix, {width} of a vector
  Tensor value;                    ///< f32; empty for a matrix that is only run
  PackedMatrix packed;             ///< [out, in] for the forward product; matrices only
  PackedMatrix packed_transposed;  ///< [in, out] for the gradient of the input; matrices only
  Tensor gradient;                 ///< f32, shaped like the value; empty when not trained

  bool is_matrix() const { return shape.rank() == 2; }
  bool trained() const { return !gradient.empty(); }
};

/// Makes a matrix' packed forms follow its master copy. `for_backward` makes the transposed one
/// too.
void repack(Parameter& parameter, Arithmetic arithmetic, bool for_backward);

/// The same, both forms, in parts: memory first, then rows [begin, end) of the matrix at a time,
/// from any thread, where `begin` is a multiple of kPackedPart.
void reserve_packed(Parameter& parameter, Arithmetic arithmetic);
void repack_rows(Parameter& parameter, int64_t begin, int64_t end);

/// Makes the transposed form of a matrix that is run but not trained (LoRA's base), from its
/// packed one.
void pack_for_backward(Parameter& parameter);

/// Allocates a zero gradient.
void make_trainable(Parameter& parameter);

/// A low-rank addition to one matrix: W·x + scale · B·(A·x) (LoRA, Hu et al. 2021).
struct LowRank {
  const Parameter* a = nullptr;  ///< [rank, in]
  const Parameter* b = nullptr;  ///< [out, rank]
  float scale = 1;
};

/// The additions of one adapter, by the matrix that they belong to.
using LowRankMap = std::unordered_map<const Parameter*, LowRank>;

}  // namespace millrace
