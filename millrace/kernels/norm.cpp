#include "millrace/kernels/norm.h"

#include <cmath>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/norm.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

void rms_norm_rows(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                   float* y, float* inv_rms) {
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    const float squares = sum_terms(width, [=](auto at, auto) HWY_ATTR {
      const Floats v = at(x);
      return hn::Mul(v, v);
    });
    const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
    const Floats factor = set(inverse);
    for_vectors(width, [=](auto at, auto put)
                           HWY_ATTR { put(hn::Mul(hn::Mul(at(x), factor), at(weight)), y); });
    if (inv_rms) inv_rms[r] = inverse;
  }
}

/// dweight, unless null, is added to.
void rms_norm_backward_rows(const float* dy, const float* x, const float* weight,
                            const float* inv_rms, int64_t rows, int64_t width, float* dx,
                            bool accumulate, float* dweight) {
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    const Floats inverse = set(inv_rms[r]);
    const float dot = sum_terms(width, [=](auto at, auto) HWY_ATTR {
      return hn::Mul(hn::Mul(at(dy), at(weight)), hn::Mul(at(x), inverse));
    });
    const Floats mean = set(dot / static_cast<float>(width));
    for_vectors(width, [=](auto at, auto put) HWY_ATTR {
      const Floats gradient = at(dy), normal = hn::Mul(at(x), inverse);
      if (dweight) put(hn::MulAdd(gradient, normal, at(dweight)), dweight);
      const Floats inner = hn::NegMulAdd(normal, mean, hn::Mul(gradient, at(weight)));
      put(accumulate ? hn::MulAdd(inverse, inner, at(dx)) : hn::Mul(inverse, inner), dx);
    });
  }
}

void layer_norm_rows(const float* x, const float* weight, const float* bias, int64_t rows,
                     int64_t width, float eps, float* y, float* mean, float* inv_std) {
  const auto count = static_cast<float>(width);
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    const float centre = sum_terms(width, [=](auto at, auto) HWY_ATTR { return at(x); }) / count;
    const Floats middle = set(centre);
    const float squares = sum_terms(width, [=](auto at, auto) HWY_ATTR {
      const Floats v = hn::Sub(at(x), middle);
      return hn::Mul(v, v);
    });
    const float inverse = 1.0f / std::sqrt(squares / count + eps);
    const Floats factor = set(inverse);
    for_vectors(width, [=](auto at, auto put) HWY_ATTR {
      const Floats normal = hn::Mul(hn::Sub(at(x), middle), factor);
      put(bias ? hn::MulAdd(normal, at(weight), at(bias)) : hn::Mul(normal, at(weight)), y);
    });
    if (mean) mean[r] = centre;
    if (inv_std) inv_std[r] = inverse;
  }
}

/// dweight and dbias, unless null, are added to.
void layer_norm_backward_rows(const float* dy, const float* x, const float* weight,
                              const float* mean, const float* inv_std, int64_t rows, int64_t width,
                              float* dx, bool accumulate, float* dweight, float* dbias) {
  const auto count = static_cast<float>(width);
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    const Floats middle = set(mean[r]), inverse = set(inv_std[r]);
    const auto normal_at = [=](auto at)
                               HWY_ATTR { return hn::Mul(hn::Sub(at(x), middle), inverse); };
    const float sum =
        sum_terms(width, [=](auto at, auto) HWY_ATTR { return hn::Mul(at(dy), at(weight)); });
    const float dot = sum_terms(width, [=](auto at, auto) HWY_ATTR {
      return hn::Mul(hn::Mul(at(dy), at(weight)), normal_at(at));
    });
    const Floats mean_gradient = set(sum / count), mean_dot = set(dot / count);
    for_vectors(width, [=](auto at, auto put) HWY_ATTR {
      const Floats gradient = at(dy), normal = normal_at(at);
      if (dweight) put(hn::MulAdd(gradient, normal, at(dweight)), dweight);
      if (dbias) put(hn::Add(at(dbias), gradient), dbias);
      const Floats centred = hn::Sub(hn::Mul(gradient, at(weight)), mean_gradient);
      const Floats inner = hn::NegMulAdd(normal, mean_dot, centred);
      put(accumulate ? hn::MulAdd(inverse, inner, at(dx)) : hn::Mul(inverse, inner), dx);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(rms_norm_backward_rows);
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_backward_rows);

/// `p` moved on by `offset`, null staying null.
template <typename T>
T* after(T* p, int64_t offset) {
  return p ? p + offset : p;
}

void add_to(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

void rms_norm_forward(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                      float* y, float* inv_rms) {
  const auto kernel = MILLRACE_DISPATCH(rms_norm_rows);
  parallel_ranges(rows, rows_a_part(width), [=](int64_t begin, int64_t end) {
    kernel(x + begin * width, weight, end - begin, width, eps, y + begin * width,
           after(inv_rms, begin));
  });
}

void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* inv_rms,
                       int64_t rows, int64_t width, float* dx, bool accumulate, float* dweight) {
  const auto kernel = MILLRACE_DISPATCH(rms_norm_backward_rows);
  const std::vector<float> total =
      sum_in_chunks(rows, width, [=](int64_t begin, int64_t end, float* sums) {
        kernel(dy + begin * width, x + begin * width, weight, inv_rms + begin, end - begin, width,
               dx + begin * width, accumulate, dweight ? sums : nullptr);
      });
  if (dweight) add_to(total.data(), width, dweight);
}

void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t width, float eps, float* y, float* mean, float* inv_std) {
  const auto kernel = MILLRACE_DISPATCH(layer_norm_rows);
  parallel_ranges(rows, rows_a_part(width), [=](int64_t begin, int64_t end) {
    kernel(x + begin * width, weight, bias, end - begin, width, eps, y + begin * width,
           after(mean, begin), after(inv_std, begin));
  });
}

void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* inv_std, int64_t rows, int64_t width, float* dx,
                         bool accumulate, float* dweight, float* dbias) {
  const auto kernel = MILLRACE_DISPATCH(layer_norm_backward_rows);
  const std::vector<float> total =
      sum_in_chunks(rows, 2 * width, [=](int64_t begin, int64_t end, float* sums) {
        kernel(dy + begin * width, x + begin * width, weight, mean + begin, inv_std + begin,
               end - begin, width, dx + begin * width, accumulate, dweight ? sums : nullptr,
               dbias ? sums + width : nullptr);
      });
  if (dweight) add_to(total.data(), width, dweight);
  if (dbias) add_to(total.data() + width, width, dbias);
}

}  // namespace millrace
#endif  // HWY_ONCE
