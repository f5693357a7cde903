// Normalisation of rows, with gradients.
#pragma once

#include "millrace/graph/activations.h"
#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// What the backward pass of a norm needs, one number a row; empty when only evaluating.
struct NormStatistics {
  Tensor mean;         ///< [rows, 1], layer norm only
  Tensor inverse_std;  ///< [rows, 1]
};

/// y = x / rms(x) · w, of every run of w's length where a row has several.
void rms_norm_forward(const Tensor& x, const Parameter& weight, float eps, Tensor& y,
                      NormStatistics& statistics);
/// dx is written, or added to with `accumulate`; dw is added to where the weight is trained.
void rms_norm_backward(const Tensor& dy, const Tensor& x, Parameter& weight,
                       const NormStatistics& statistics, bool accumulate, Tensor& dx);

/// The same with 1 in the place of w, of every run of `width` values.
void unit_norm_forward(const Tensor& x, int64_t width, float eps, Activations& activations,
                       Tensor& y, NormStatistics& statistics);
void unit_norm_backward(const Tensor& dy, const Tensor& x, int64_t width,
                        const NormStatistics& statistics, Activations& activations, bool accumulate,
                        Tensor& dx);

/// y = x · length / √(Σ x² + eps), of every run of weight's length. `weight` [1, width] is written:
/// it is the rms norm's with which that is the same.
void l2_norm_forward(const Tensor& x, float eps, float length, Tensor& weight, Tensor& y,
                     NormStatistics& statistics);
/// As rms_norm_backward, `weight` being what the forward function wrote.
void l2_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                      const NormStatistics& statistics, bool accumulate, Tensor& dx);

/// y = (x − mean) / std · w + b; `bias` may be null.
void layer_norm_forward(const Tensor& x, const Parameter& weight, const Parameter* bias, float eps,
                        Tensor& y, NormStatistics& statistics);
/// As rms_norm_backward, with db.
void layer_norm_backward(const Tensor& dy, const Tensor& x, Parameter& weight, Parameter* bias,
                         const NormStatistics& statistics, bool accumulate, Tensor& dx);

}  // namespace millrace
