#include "millrace/kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/isa.h"

namespace millrace {
namespace {

std::vector<float> random_values(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

MatrixView matrix(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, 1};
}

TEST(Matmul, AgreesWithDoublePrecision) {
  for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
    int64_t m = 7, n = 45, k = 601;
    std::vector<float> x = random_values(m * k, 1), w = random_values(n * k, 2);
    PackedMatrix packed;
    pack(matrix(w, n, k), arithmetic, packed);
    std::vector<float> y(static_cast<size_t>(m * n), NAN);
    matmul(matrix(x, m, k), packed, y.data(), n);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          double a = x[static_cast<size_t>(i * k + l)], b = w[static_cast<size_t>(j * k + l)];
          if (arithmetic == Arithmetic::bf16) {
            a = to_float(to_bfloat16(static_cast<float>(a)));
            b = to_float(to_bfloat16(static_cast<float>(b)));
          }
          sum += a * b;
        }
        EXPECT_NEAR(y[static_cast<size_t>(i * n + j)], sum, 1e-4);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
