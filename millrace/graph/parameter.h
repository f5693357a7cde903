// A model's weights as the operators see them.
#pragma once

#include <string>
#include <unordered_map>

#include "millrace/kernels/matmul.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// One weight. A vector (norm weight, bias) is used through `value`, a matrix through `packed`. A
/// matrix in training has only `value`, the f32 master copy: each product packs it on the way.
struct Parameter {
  std::string name;                ///< as Hugging Face names it
  Shape shape;                     ///< {out, in} of a matrix, {width} of a vector
  Tensor value;                    ///< f32; empty for a matrix that is only run
  PackedMatrix packed;             ///< [out, in] for the forward product, when it is held
  PackedMatrix packed_transposed;  ///< [in, out] for the gradient of the input, when it is held
  Arithmetic arithmetic = Arithmetic::f32;  ///< of products that pack `value`
  Tensor gradient;                          ///< f32, shaped like the value; empty when not trained
  bool is_table = false;  ///< of two dimensions, but used through `value` as vectors are

  bool is_matrix() const { return shape.rank() == 2 && !is_table; }
  bool is_packed() const { return packed.bytes != nullptr; }
  bool trained() const { return !gradient.empty(); }
};

/// Forward functions and heads take parameters as constants; going back, their gradients change.
inline Parameter& to_train(const Parameter& parameter) {
  return const_cast<Parameter&>(parameter);
}
inline Parameter* to_train(const Parameter* parameter) {
  return const_cast<Parameter*>(parameter);
}

/// The values of a vector; null of null.
inline const float* vector_data(const Parameter* vector) {
  return vector == nullptr ? nullptr : vector->value.f32().data();
}

/// Packs a matrix' value for many forward products.
void pack_for_running(Parameter& parameter, Arithmetic arithmetic);

/// Makes the transposed form of a matrix that is run but not trained (LoRA's base), from its
/// packed one.
void pack_for_backward(Parameter& parameter);

/// Allocates a zero gradient, and drops packed forms: they would not follow the value. Products
/// round to `arithmetic` from now on.
void make_trainable(Parameter& parameter, Arithmetic arithmetic);

/// What turns hidden states into logits.
struct Head {
  const Parameter& weight;          ///< [vocab_size, hidden_size]
  const Parameter* bias = nullptr;  ///< [vocab_size]
  float softcap = 0;                ///< logits x become softcap · tanh(x / softcap); 0: stay
  bool unit_rows = false;           ///< the weight's rows are used at length 1 (ops/unit_rows.h)
};

/// A low-rank addition to one matrix: W·x + scale · B·(A·x) (LoRA, Hu et al. 2021).
struct LowRank {
  const Parameter* a = nullptr;  ///< [rank, in]
  const Parameter* b = nullptr;  ///< [out, rank]
  float scale = 1;
};

/// The additions of one adapter, by the matrix that they belong to.
using LowRankMap = std::unordered_map<const Parameter*, LowRank>;

}  // namespace millrace
