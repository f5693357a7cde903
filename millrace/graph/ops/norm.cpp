#include "millrace/graph/ops/norm.h"

#include <algorithm>
#include <cmath>

#include "millrace/kernels/norm.h"

namespace millrace {
namespace {

float* data_or_null(const Tensor& tensor) {
  return tensor.empty() ? nullptr : tensor.f32().data();
}

const float* value_or_null(const Parameter* parameter) {
  return parameter == nullptr ? nullptr : parameter->value.f32().data();
}

float* gradient_or_null(const Parameter* parameter) {
  return parameter == nullptr ? nullptr : data_or_null(parameter->gradient);
}

Tensor ones(int64_t width, Activations& activations) {
  Tensor result = activations.take(1, width);
  std::ranges::fill(result.f32(), 1.0f);
  return result;
}

}  // namespace

void rms_norm_forward(const Tensor& x, const Parameter& weight, float eps, Tensor& y,
                      NormStatistics& statistics) {
  rms_norm_forward(x.f32().data(), value_or_null(&weight), x.count() / weight.shape[0],
                   weight.shape[0], eps, y.f32().data(), data_or_null(statistics.inverse_std));
}

void rms_norm_backward(const Tensor& dy, const Tensor& x, Parameter& weight,
                       const NormStatistics& statistics, bool accumulate, Tensor& dx) {
  rms_norm_backward(dy.f32().data(), x.f32().data(), value_or_null(&weight),
                    statistics.inverse_std.f32().data(), x.count() / weight.shape[0],
                    weight.shape[0], dx.f32().data(), accumulate, gradient_or_null(&weight));
}

void unit_norm_forward(const Tensor& x, int64_t width, float eps, Activations& activations,
                       Tensor& y, NormStatistics& statistics) {
  const Tensor weight = ones(width, activations);
  rms_norm_forward(x.f32().data(), weight.f32().data(), x.count() / width, width, eps,
                   y.f32().data(), data_or_null(statistics.inverse_std));
}

void unit_norm_backward(const Tensor& dy, const Tensor& x, int64_t width,
                        const NormStatistics& statistics, Activations& activations, bool accumulate,
                        Tensor& dx) {
  const Tensor weight = ones(width, activations);
  rms_norm_backward(dy.f32().data(), x.f32().data(), weight.f32().data(),
                    statistics.inverse_std.f32().data(), x.count() / width, width, dx.f32().data(),
                    accumulate, nullptr);
}

void l2_norm_forward(const Tensor& x, float eps, float length, Tensor& weight, Tensor& y,
                     NormStatistics& statistics) {
  const int64_t width = weight.count();
  const auto count = static_cast<float>(width);
  std::fill_n(weight.f32().data(), width, length / std::sqrt(count));
  rms_norm_forward(x.f32().data(), weight.f32().data(), x.count() / width, width, eps / count,
                   y.f32().data(), data_or_null(statistics.inverse_std));
}

void l2_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight,
                      const NormStatistics& statistics, bool accumulate, Tensor& dx) {
  const int64_t width = weight.count();
  rms_norm_backward(dy.f32().data(), x.f32().data(), weight.f32().data(),
                    statistics.inverse_std.f32().data(), x.count() / width, width, dx.f32().data(),
                    accumulate, nullptr);
}

void layer_norm_forward(const Tensor& x, const Parameter& weight, const Parameter* bias, float eps,
                        Tensor& y, NormStatistics& statistics) {
  layer_norm_forward(x.f32().data(), value_or_null(&weight), value_or_null(bias), x.shape()[0],
                     x.shape()[1], eps, y.f32().data(), data_or_null(statistics.mean),
                     data_or_null(statistics.inverse_std));
}

void layer_norm_backward(const Tensor& dy, const Tensor& x, Parameter& weight, Parameter* bias,
                         const NormStatistics& statistics, bool accumulate, Tensor& dx) {
  layer_norm_backward(dy.f32().data(), x.f32().data(), value_or_null(&weight),
                      statistics.mean.f32().data(), statistics.inverse_std.f32().data(),
                      x.shape()[0], x.shape()[1], dx.f32().data(), accumulate,
                      gradient_or_null(&weight), gradient_or_null(bias));
}

}  // namespace millrace
