// Rows as runs of the same length side by side: the heads of attention, the streams of a residual.
#pragma once

#include <cstdint>

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// y [rows, n · width]: each run of x times its weight; weights [rows, n].
void weigh_runs_forward(const Tensor& x, const Tensor& weights, Tensor& y);
/// dx and dweights are written.
void weigh_runs_backward(const Tensor& x, const Tensor& weights, const Tensor& dy, Tensor& dx,
                         Tensor& dweights);

/// y = x · scale + bias, scale's numbers each for an equal part of a row.
void scale_and_shift_forward(const Tensor& x, const Parameter& scale, const Parameter& bias,
                             Tensor& y);
/// dx is written, gradients are added to those of parameters that are trained.
void scale_and_shift_backward(const Tensor& x, const Tensor& dy, const Parameter& scale, Tensor& dx,
                              Tensor* dscale, Tensor* dbias);

/// y [rows, width]: the sum of x's runs in their order.
void sum_runs(const Tensor& x, Tensor& y);
/// y [rows, n · width]: x in each run.
void repeat_runs(const Tensor& x, Tensor& y);

}  // namespace millrace
