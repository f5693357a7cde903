// The linear layer y = x·Wᵀ + b and its gradients.
#pragma once

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// y [rows, out] = x [rows, in] · Wᵀ + b; `bias` may be null.
void linear_forward(const Tensor& x, const Parameter& weight, const Parameter* bias, Tensor& y);

/// Adds a bias [out] to every row of y [rows, out]; null adds nothing.
void add_bias(const Parameter* bias, Tensor& y);

/// dx [rows, in] = dy [rows, out] · W, or += with `accumulate`. Needs weight.packed_transposed.
void linear_backward_input(const Tensor& dy, const Parameter& weight, bool accumulate, Tensor& dx);

/// dW [out, in] += dyᵀ · x and, where the bias is trained, db += the column sums of dy. `packed` is
/// scratch that is used again.
void linear_backward_weight(const Tensor& dy, const Tensor& x, Parameter& weight, Parameter* bias,
                            PackedMatrix& packed);

}  // namespace millrace
