#include "millrace/kernels/decay.h"

#include <cmath>

#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

/// Numbers that one thread computes at once.
constexpr int64_t kGrain = 512;

float softplus(float x) {
  return x > 20 ? x : std::log1p(std::exp(x));
}

}  // namespace

void decay_forward(const DecayShape& shape, const float* x, const float* log_rate,
                   const float* bias, float* y) {
  const int64_t columns = shape.width / shape.heads;
  parallel_ranges(shape.rows * shape.width, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t column = i % shape.width;
      y[i] = std::exp(-std::exp(log_rate[column / columns]) * softplus(x[i] + bias[column]));
    }
  });
}

void decay_backward(const DecayShape& shape, const float* x, const float* log_rate,
                    const float* bias, const float* dy, float* dx, float* dlog_rate, float* dbias) {
  const int64_t columns = shape.width / shape.heads;
  parallel_for(shape.heads, [&](int64_t head) {
    const float rate = std::exp(log_rate[head]);
    double to_rate = 0;
    for (int64_t column = head * columns; column < (head + 1) * columns; ++column) {
      double to_bias = 0;
      for (int64_t i = column; i < shape.rows * shape.width; i += shape.width) {
        const float at = x[i] + bias[column], exponent = -rate * softplus(at);
        const float dexponent = dy[i] * std::exp(exponent);
        dx[i] = dexponent * -rate / (1 + std::exp(-at));
        to_bias += static_cast<double>(dx[i]);
        to_rate += static_cast<double>(dexponent) * static_cast<double>(exponent);
      }
      if (dbias) dbias[column] += static_cast<float>(to_bias);
    }
    if (dlog_rate) dlog_rate[head] += static_cast<float>(to_rate);
  });
}

}  // namespace millrace
