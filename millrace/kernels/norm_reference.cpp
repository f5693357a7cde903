// Normalisation in the plainest C++.
#include <cmath>

#include "millrace/kernels/norm.h"

namespace millrace::reference {

void rms_norm_forward(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                      float* y, float* inv_rms) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += double{x[i]} * x[i];
    auto inverse = static_cast<float>(1 / std::sqrt(sum / static_cast<double>(width) + eps));
    for (int64_t i = 0; i < width; ++i) y[i] = x[i] * inverse * weight[i];
    if (inv_rms) inv_rms[r] = inverse;
  }
}

void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* inv_rms,
                       int64_t rows, int64_t width, float* dx, bool accumulate, float* dweight) {
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    double dot = 0;  // of the gradient of the normalised row with the normalised row
    for (int64_t i = 0; i < width; ++i) dot += double{dy[i]} * weight[i] * x[i] * inv_rms[r];
    auto mean = static_cast<float>(dot / static_cast<double>(width));
    for (int64_t i = 0; i < width; ++i) {
      float normal = x[i] * inv_rms[r];
      if (dweight) dweight[i] += dy[i] * normal;
      float gradient = inv_rms[r] * (dy[i] * weight[i] - normal * mean);
      dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
  }
}

void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t width, float eps, float* y, float* mean, float* inv_std) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < width; ++i) sum += x[i];
    auto centre = static_cast<float>(sum / static_cast<double>(width));
    for (int64_t i = 0; i < width; ++i) squares += double{x[i] - centre} * (x[i] - centre);
    auto inverse = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + eps));
    for (int64_t i = 0; i < width; ++i) {
      y[i] = (x[i] - centre) * inverse * weight[i] + (bias ? bias[i] : 0);
    }
    if (mean) mean[r] = centre;
    if (inv_std) inv_std[r] = inverse;
  }
}

void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* inv_std, int64_t rows, int64_t width, float* dx,
                         bool accumulate, float* dweight, float* dbias) {
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    double sum = 0, dot = 0;  // of the gradient of the normalised row, and with that row
    for (int64_t i = 0; i < width; ++i) {
      double gradient = double{dy[i]} * weight[i];
      sum += gradient;
      dot += gradient * (x[i] - mean[r]) * inv_std[r];
    }
    auto mean_gradient = static_cast<float>(sum / static_cast<double>(width));
    auto mean_dot = static_cast<float>(dot / static_cast<double>(width));
    for (int64_t i = 0; i < width; ++i) {
      float normal = (x[i] - mean[r]) * inv_std[r];
      if (dweight) dweight[i] += dy[i] * normal;
      if (dbias) dbias[i] += dy[i];
      float gradient = inv_std[r] * (dy[i] * weight[i] - mean_gradient - normal * mean_dot);
      dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
  }
}

}  // namespace millrace::reference
