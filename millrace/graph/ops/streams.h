// What rows of activations are scaled and mixed by: columns, magnitudes, coefficients of their own.
#pragma once

#include <cstdint>

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// y[r, c] = x[r, c] · w[c].
void scale_columns_forward(const Tensor& x, const Parameter& weight, Tensor& y);
/// dx is written, here and below; dw is added to where the weight is trained.
void scale_columns_backward(const Tensor& dy, const Tensor& x, Parameter& weight, Tensor& dx);

/// y = x · rms(of) / max(rms(x), least), row by row.
void with_magnitude_forward(const Tensor& x, const Tensor& of, float least, Tensor& y);
void with_magnitude_backward(const Tensor& dy, const Tensor& x, const Tensor& of, float least,
                             Tensor& dx, Tensor& dof);

/// y = max(0, x − mean − deviations · std), mean and std being the row's.
void outliers_forward(const Tensor& x, float deviations, Tensor& y);
void outliers_backward(const Tensor& dy, const Tensor& x, float deviations, Tensor& dx);

/// Rows of x hold n streams of `width` values, those of y m, and those of the coefficients m · n
/// numbers: y's i-th stream is Σⱼ (coefficients[i · n + j] + plus) · x's j-th.
void mix_forward(const Tensor& x, int64_t width, const Tensor& coefficients, float plus, Tensor& y);
void mix_backward(const Tensor& dy, const Tensor& x, int64_t width, const Tensor& coefficients,
                  float plus, Tensor& dx, Tensor& dcoefficients);
/// How wide y is.
int64_t mixed_width(const Tensor& x, int64_t width, const Tensor& coefficients);

}  // namespace millrace
