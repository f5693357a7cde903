#include "millrace/kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/optimizer.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

void adamw_part(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v) {
  const double beta1 = options.beta1, beta2 = options.beta2, rate = options.learning_rate;
  const auto step = static_cast<double>(options.step);
  const double correction1 = 1 - std::pow(beta1, step), correction2 = 1 - std::pow(beta2, step);
  const Floats grad_scale = set(options.grad_scale), epsilon = set(options.epsilon);
  const Floats keep1 = set(options.beta1), take1 = set(static_cast<float>(1 - beta1));
  const Floats keep2 = set(options.beta2), take2 = set(static_cast<float>(1 - beta2));
  const Floats decay = set(static_cast<float>(1 - rate * options.weight_decay));
  const Floats step_size = set(static_cast<float>(rate / correction1));
  const Floats root_scale = set(static_cast<float>(1 / std::sqrt(correction2)));
  for_vectors(count, [=](auto at, auto put) HWY_ATTR {
    const Floats g = hn::Mul(at(grad), grad_scale);
    const Floats first = hn::MulAdd(take1, g, hn::Mul(keep1, at(m)));
    const Floats second = hn::MulAdd(hn::Mul(take2, g), g, hn::Mul(keep2, at(v)));
    const Floats root = hn::MulAdd(hn::Sqrt(second), root_scale, epsilon);
    const Floats decayed = hn::Mul(at(param), decay);
    put(first, m);
    put(second, v);
    put(hn::NegMulAdd(step_size, hn::Div(first, root), decayed), param);
  });
}

float sum_of_squares_part(const float* a, int64_t count) {
  return sum_terms(count, [=](auto at, auto) HWY_ATTR {
    const Floats x = at(a);
    return hn::Mul(x, x);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(adamw_part);
HWY_EXPORT(sum_of_squares_part);

/// Values summed in f32 before their sum joins the others' in double. Part of the arithmetic
/// contract: another number gives other bits.
constexpr int64_t kChunkValues = 16384;

}  // namespace

void adamw_step(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v) {
  const auto part = MILLRACE_DISPATCH(adamw_part);
  parallel_ranges(count, kPartValues, [&, part](int64_t begin, int64_t end) {
    part(options, grad + begin, end - begin, param + begin, m + begin, v + begin);
  });
}

double sum_of_squares(const float* a, int64_t count) {
  const auto part = MILLRACE_DISPATCH(sum_of_squares_part);
  std::vector<float> sums(static_cast<size_t>((count + kChunkValues - 1) / kChunkValues));
  parallel_ranges(count, kChunkValues, [&, part](int64_t begin, int64_t end) {
    sums[static_cast<size_t>(begin / kChunkValues)] = part(a + begin, end - begin);
  });
  double total = 0;
  for (float sum : sums) total += sum;
  return total;
}

}  // namespace millrace
#endif  // HWY_ONCE
