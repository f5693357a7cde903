#include "millrace/graph/ops/unit_rows.h"

#include <algorithm>
#include <cmath>

#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

constexpr int64_t kRowsAtOnce = 64;

double dot(const float* a, const float* b, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// What torch divides by: no less than 1e-12.
double length(const float* row, int64_t width) {
  return std::max(std::sqrt(dot(row, row, width)), 1e-12);
}

}  // namespace

Tensor with_unit_rows(const Tensor& matrix) {
  constexpr double kRounding = 1e-6;
  const int64_t width = matrix.shape()[1];
  Tensor result(DType::f32, matrix.shape(), false);
  const float* in = matrix.f32().data();
  float* out = result.f32().data();
  parallel_ranges(matrix.shape()[0], kRowsAtOnce, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = in + row * width;
      const double l = length(from, width);
      const double factor = std::abs(l - 1) < kRounding ? 1 : 1 / l;
      for (int64_t i = 0; i < width; ++i) {
        out[row * width + i] = static_cast<float>(static_cast<double>(from[i]) * factor);
      }
    }
  });
  return result;
}

void unit_rows_backward(const Tensor& dunit, Parameter& weight) {
  const int64_t width = weight.shape[1];
  const float* values = weight.value.f32().data();
  const float* du = dunit.f32().data();
  float* dw = weight.gradient.f32().data();
  parallel_ranges(weight.shape[0], kRowsAtOnce, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* w = values + row * width;
      const float* d = du + row * width;
      const double l = length(w, width), along = dot(d, w, width) / (l * l);
      for (int64_t i = 0; i < width; ++i) {
        const double across = static_cast<double>(d[i]) - along * static_cast<double>(w[i]);
        dw[row * width + i] += static_cast<float>(across / l);
      }
    }
  });
}

}  // namespace millrace
