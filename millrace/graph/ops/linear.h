// The linear layer y = x·Wᵀ + b and its gradients.
#pragma once

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// y [rows, out] = x [rows, in] · Wᵀ + b; `bias` may be null.
void linear_forward(const Tensor& x, const Parameter& weight, const Parameter* bias, Tensor& y);

/// Adds a bias [out] to every row of y [rows, out]; null adds nothing.
void add_bias(const Parameter* bias, Tensor& y);

/// dx [rows, in] = dy [rows, out] · W, or += with `accumulate`. Rounds its operands as the
/// forward pass does. Needs weight.packed_transposed or the value.
void linear_backward_input(const Tensor& dy, const Parameter& weight, bool accumulate, Tensor& dx);

/// The input of a product, packed for the gradient of its weight. Kept for the next product, as
/// several often have the same input.
struct PackedInput {
  Tensor input;
  PackedMatrix packed;
};

/// dW [out, in] += dyᵀ · x and, where the bias is trained, db += the column sums of dy. x may be
/// empty when the weight is not trained. x is packed unless `packed` holds it already.
void linear_backward_weight(const Tensor& dy, const Tensor& x, Parameter& weight, Parameter* bias,
                            PackedInput& packed);

}  // namespace millrace
