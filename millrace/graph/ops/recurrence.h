// What recurrent layers are made of: the gated delta rule, the short convolution before it and the
// decay of its states, with gradients.
#pragma once

#include <span>

#include "millrace/graph/parameter.h"
#include "millrace/kernels/causal_convolution.h"
#include "millrace/kernels/delta_rule.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// q, k, v, decay and beta of the gated delta rule, or their gradients.
struct DeltaTensors {
  Tensor q, k, v, decay, beta;
};

void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaTensors& in, Tensor& out);
/// Gradients are written.
void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaTensors& in, const Tensor& dout, DeltaTensors& gradients);

/// That of a weight [width, kernel].
ConvolutionShape convolution_shape(const Parameter& weight);
void causal_convolution_forward(std::span<const StateSegment> segments, const Tensor& x,
                                const Parameter& weight, Tensor& y);
/// dx is written; dw is added to where the weight is trained.
void causal_convolution_backward(std::span<const StateSegment> segments, const Tensor& dy,
                                 const Tensor& x, Parameter& weight, Tensor& dx);

/// y = exp(−exp(log_rate) · log(1 + exp(x + bias))); log_rate [heads], bias [width].
void decay_forward(const Tensor& x, const Parameter& log_rate, const Parameter& bias, Tensor& y);
/// dx is written; gradients of parameters are added to where they are trained.
void decay_backward(const Tensor& dy, const Tensor& x, Parameter& log_rate, Parameter& bias,
                    Tensor& dx);

}  // namespace millrace
