// Elementwise arithmetic in the plainest C++.
#include "millrace/base/error.h"
#include "millrace/kernels/elementwise.h"

namespace millrace::reference {

void add(const float* a, const float* b, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

void add_into(const float* a, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] += a[i];
}

void add_scaled(const float* a, float factor, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] += factor * a[i];
}

void scale(const float* a, float factor, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = factor * a[i];
}

void multiply(const float* a, const float* b, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = a[i] * b[i];
}

void add_bias(const float* bias, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; ++c) y[r * width + c] += bias[c];
  }
}

void add_column_sums(const float* a, int64_t rows, int64_t width, float* sums) {
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += a[r * width + c];
    sums[c] += static_cast<float>(sum);
  }
}

void to_bfloat16(const float* a, int64_t count, BFloat16* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = millrace::to_bfloat16(a[i]);
}

void from_bfloat16(const BFloat16* a, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = to_float(a[i]);
}

void round_to(DType dtype, const float* a, int64_t count, float* y) {
  require(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16,
          "values cannot be rounded to {}", info(dtype).name);
  for (int64_t i = 0; i < count; ++i) {
    switch (dtype) {
      case DType::bf16:
        y[i] = to_float(millrace::to_bfloat16(a[i]));
        break;
      case DType::f16:
        y[i] = to_float(to_float16(a[i]));
        break;
      default:
        y[i] = a[i];
    }
  }
}

}  // namespace millrace::reference
