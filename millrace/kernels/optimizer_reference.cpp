// The optimiser's elementwise part in the plainest C++, in double precision.
#include <cmath>

#include "millrace/kernels/optimizer.h"

namespace millrace::reference {

void adamw_step(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v) {
  const double beta1 = options.beta1, beta2 = options.beta2, rate = options.learning_rate;
  const auto step = static_cast<double>(options.step);
  const double correction1 = 1 - std::pow(beta1, step), correction2 = 1 - std::pow(beta2, step);
  for (int64_t i = 0; i < count; ++i) {
    double g = double{grad[i]} * options.grad_scale;
    double first = beta1 * m[i] + (1 - beta1) * g;
    double second = beta2 * v[i] + (1 - beta2) * g * g;
    double decayed = param[i] * (1 - rate * options.weight_decay);
    double update = first / correction1 / (std::sqrt(second / correction2) + options.epsilon);
    m[i] = static_cast<float>(first);
    v[i] = static_cast<float>(second);
    param[i] = static_cast<float>(decayed - rate * update);
  }
}

double sum_of_squares(const float* a, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * a[i];
  return sum;
}

}  // namespace millrace::reference
