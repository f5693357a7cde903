// Activations in the plainest C++, in double precision.
#include <cmath>
#include <numbers>

#include "millrace/kernels/activation.h"

namespace millrace::reference {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

const double kSqrt2OverPi = std::sqrt(2 / std::numbers::pi);

double value(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
  }
  return 0;
}

double slope(Activation activation, double x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::silu:
      return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case Activation::gelu:
      return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)) +
             x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    case Activation::tanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x) * (1 - sigmoid(x));
    case Activation::gelu_tanh: {
      double t = std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kSqrt2OverPi * (1 + 3 * 0.044715 * x * x);
    }
  }
  return 0;
}

}  // namespace

void activation_forward(Activation activation, const float* x, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<float>(value(activation, x[i]));
}

void activation_backward(Activation activation, const float* x, const float* dy, int64_t count,
                         float* dx, bool accumulate) {
  for (int64_t i = 0; i < count; ++i) {
    auto gradient = static_cast<float>(dy[i] * slope(activation, x[i]));
    dx[i] = accumulate ? dx[i] + gradient : gradient;
  }
}

void glu_forward(Activation activation, const float* gate, const float* up, int64_t rows,
                 int64_t width, int64_t in_stride, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      int64_t at = r * in_stride + i;
      y[r * width + i] = static_cast<float>(value(activation, gate[at]) * up[at]);
    }
  }
}

void glu_backward(Activation activation, const float* gate, const float* up, const float* dy,
                  int64_t rows, int64_t width, int64_t in_stride, float* dgate, float* dup) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      int64_t at = r * in_stride + i;
      float g = gate[at], u = up[at], d = dy[r * width + i];
      dgate[at] = static_cast<float>(double{d} * u * slope(activation, g));
      dup[at] = static_cast<float>(d * value(activation, g));
    }
  }
}

namespace {

/// What becomes of a gate, its slope, and the up projection.
struct ClampedParts {
  double value, slope, up;

  ClampedParts(const ClampedGlu& shape, float gate, float up_in)
      : up(std::fmax(std::fmin(up_in, shape.limit), -shape.limit)) {
    const double g = shape.clamps_activated ? gate : std::fmin(gate, shape.limit);
    const double s = sigmoid(shape.alpha * g);
    value = g * s;
    slope = s + shape.alpha * g * s * (1 - s);
    if (shape.clamps_activated ? value > shape.limit : gate > shape.limit) slope = 0;
    if (shape.clamps_activated) value = std::fmin(value, shape.limit);
  }
};

}  // namespace

void clamped_glu_forward(const ClampedGlu& shape, const float* gate, const float* up, int64_t count,
                         float* y) {
  for (int64_t i = 0; i < count; ++i) {
    const ClampedParts parts(shape, gate[i], up[i]);
    y[i] = static_cast<float>((parts.up + shape.shift) * parts.value);
  }
}

void clamped_glu_backward(const ClampedGlu& shape, const float* gate, const float* up,
                          const float* dy, int64_t count, float* dgate, float* dup) {
  for (int64_t i = 0; i < count; ++i) {
    const ClampedParts parts(shape, gate[i], up[i]);
    const double gradient = dy[i];
    const bool up_cut = std::abs(up[i]) > shape.limit;
    dgate[i] = static_cast<float>(gradient * (parts.up + shape.shift) * parts.slope);
    dup[i] = up_cut ? 0 : static_cast<float>(gradient * parts.value);
  }
}

}  // namespace millrace::reference
