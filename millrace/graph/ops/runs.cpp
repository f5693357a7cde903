#include "millrace/graph/ops/runs.h"

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/row_chunks.h"

namespace millrace {
namespace {

/// Calls `body` with each row of several, spread over the threads.
template <typename Body>
void for_each_row(const Tensor& x, const Body& body) {
  parallel_ranges(x.shape()[0], rows_a_part(x.shape()[1]), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

float* row_of(Tensor& x, int64_t row) {
  return x.f32().data() + row * x.shape()[1];
}
const float* row_of(const Tensor& x, int64_t row) {
  return x.f32().data() + row * x.shape()[1];
}

float dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * b[i];
  return static_cast<float>(sum);
}

}  // namespace

void weigh_runs_forward(const Tensor& x, const Tensor& weights, Tensor& y) {
  const int64_t runs = weights.shape()[1], width = x.shape()[1] / runs;
  for_each_row(x, [&](int64_t row) {
    for (int64_t r = 0; r < runs; ++r) {
      scale(row_of(x, row) + r * width, row_of(weights, row)[r], width, row_of(y, row) + r * width);
    }
  });
}

void weigh_runs_backward(const Tensor& x, const Tensor& weights, const Tensor& dy, Tensor& dx,
                         Tensor& dweights) {
  const int64_t runs = weights.shape()[1], width = x.shape()[1] / runs;
  for_each_row(x, [&](int64_t row) {
    for (int64_t r = 0; r < runs; ++r) {
      const float* gradient = row_of(dy, row) + r * width;
      row_of(dweights, row)[r] = dot(row_of(x, row) + r * width, gradient, width);
      scale(gradient, row_of(weights, row)[r], width, row_of(dx, row) + r * width);
    }
  });
}

void scale_and_shift_forward(const Tensor& x, const Parameter& scale, const Parameter& bias,
                             Tensor& y) {
  const int64_t width = x.shape()[1], part = width / scale.shape[0];
  const float *factors = scale.value.f32().data(), *terms = bias.value.f32().data();
  for_each_row(x, [&](int64_t row) {
    for (int64_t i = 0; i < width; ++i) {
      row_of(y, row)[i] = row_of(x, row)[i] * factors[i / part] + terms[i];
    }
  });
}

void scale_and_shift_backward(const Tensor& x, const Tensor& dy, const Parameter& scale, Tensor& dx,
                              Tensor* dscale, Tensor* dbias) {
  const int64_t rows = x.shape()[0], width = x.shape()[1], part = width / scale.shape[0];
  const float* factors = scale.value.f32().data();
  for (int64_t row = 0; row < rows; ++row) {
    const float *gradient = row_of(dy, row), *in = row_of(x, row);
    for (int64_t i = 0; i < width; ++i) {
      row_of(dx, row)[i] = gradient[i] * factors[i / part];
      if (dscale) dscale->f32()[static_cast<size_t>(i / part)] += gradient[i] * in[i];
      if (dbias) dbias->f32()[static_cast<size_t>(i)] += gradient[i];
    }
  }
}

void sum_runs(const Tensor& x, Tensor& y) {
  const int64_t width = y.shape()[1], runs = x.shape()[1] / width;
  for_each_row(x, [&](int64_t row) {
    copy(row_of(x, row), width, row_of(y, row));
    for (int64_t r = 1; r < runs; ++r) {
      add_into(row_of(x, row) + r * width, width, row_of(y, row));
    }
  });
}

void repeat_runs(const Tensor& x, Tensor& y) {
  const int64_t width = x.shape()[1], runs = y.shape()[1] / width;
  for_each_row(x, [&](int64_t row) {
    for (int64_t r = 0; r < runs; ++r) copy(row_of(x, row), width, row_of(y, row) + r * width);
  });
}

}  // namespace millrace
