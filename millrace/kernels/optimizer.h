// The elementwise part of optimisers: the AdamW step, and sums of squares for clipping.
#pragma once

#include <cstdint>

namespace millrace {

struct AdamW {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0;  // decoupled: param -= learning_rate * weight_decay * param
  int64_t step = 1;        // counted from 1, for the bias correction
  float grad_scale = 1;    // the gradient is multiplied by it first, e.g. to clip
};

/// One step of AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW does it: updates param and
/// the moments m and v, `count` values each, from grad.
void adamw_step(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v);

/// Sum of a[i]^2: in chunks of fixed size whose sums are added in ascending order in double
/// precision, so the result depends on no thread.
double sum_of_squares(const float* a, int64_t count);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void adamw_step(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v);
double sum_of_squares(const float* a, int64_t count);
}  // namespace reference

}  // namespace millrace
