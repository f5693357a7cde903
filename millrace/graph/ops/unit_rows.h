// Rows at length 1: the head of Baichuan 2 (Yang et al. 2023), with the gradient.
#pragma once

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// The rows of a matrix [rows, width] in f32, each divided by its length, as torch's `normalize`
/// does. A row whose length is 1 already, but for rounding, stays: so doing it twice is doing it
/// once.
Tensor with_unit_rows(const Tensor& matrix);

/// Adds to `weight`'s gradient what `dunit`, the gradient of with_unit_rows(weight), comes to: of a
/// row w of length l and direction u it is (du − (du · u) u) / l.
void unit_rows_backward(const Tensor& dunit, Parameter& weight);

}  // namespace millrace
