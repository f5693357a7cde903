#include "millrace/graph/ops/recurrence.h"

#include "millrace/kernels/decay.h"

namespace millrace {
namespace {

/// Null where the parameter is not trained.
float* gradient_data(Parameter& parameter) {
  return parameter.trained() ? parameter.gradient.f32().data() : nullptr;
}

DeltaInputs data_of(const DeltaTensors& in) {
  return {in.q.f32().data(), in.k.f32().data(), in.v.f32().data(), in.decay.f32().data(),
          in.beta.f32().data()};
}

DecayShape decay_shape(const Tensor& x, const Parameter& log_rate) {
  return {x.shape()[0], log_rate.shape[0], x.shape()[1]};
}

}  // namespace

void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaTensors& in, Tensor& out) {
  delta_rule_forward(shape, segments, data_of(in), out.f32().data());
}

void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaTensors& in, const Tensor& dout, DeltaTensors& gradients) {
  delta_rule_backward(shape, segments, data_of(in), dout.f32().data(),
                      {gradients.q.f32().data(), gradients.k.f32().data(), gradients.v.f32().data(),
                       gradients.decay.f32().data(), gradients.beta.f32().data()});
}

ConvolutionShape convolution_shape(const Parameter& weight) {
  return {weight.shape[0], weight.shape[1]};
}

void causal_convolution_forward(std::span<const StateSegment> segments, const Tensor& x,
                                const Parameter& weight, Tensor& y) {
  causal_convolution_forward(convolution_shape(weight), segments, x.f32().data(),
                             vector_data(&weight), y.f32().data());
}

void causal_convolution_backward(std::span<const StateSegment> segments, const Tensor& dy,
                                 const Tensor& x, Parameter& weight, Tensor& dx) {
  causal_convolution_backward(convolution_shape(weight), segments, x.f32().data(),
                              vector_data(&weight), dy.f32().data(), dx.f32().data(),
                              gradient_data(weight));
}

void decay_forward(const Tensor& x, const Parameter& log_rate, const Parameter& bias, Tensor& y) {
  decay_forward(decay_shape(x, log_rate), x.f32().data(), vector_data(&log_rate),
                vector_data(&bias), y.f32().data());
}

void decay_backward(const Tensor& dy, const Tensor& x, Parameter& log_rate, Parameter& bias,
                    Tensor& dx) {
  decay_backward(decay_shape(x, log_rate), x.f32().data(), vector_data(&log_rate),
                 vector_data(&bias), dy.f32().data(), dx.f32().data(), gradient_data(log_rate),
                 gradient_data(bias));
}

}  // namespace millrace
