#include "millrace/graph/ops/streams.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/row_chunks.h"

namespace millrace {
namespace {

/// Σ term(i) in an order of its own, which compilers can make vectors of.
template <typename Term>
float sum_of(int64_t count, const Term& term) {
  constexpr int64_t kLanes = 16;
  std::array<float, kLanes> lanes = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[static_cast<size_t>(lane)] += term(i + lane);
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[static_cast<size_t>(lane)] += term(i);
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

float dot(const float* a, const float* b, int64_t count) {
  return sum_of(count, [=](int64_t i) { return a[i] * b[i]; });
}

float root_mean_square(const float* x, int64_t width) {
  return std::sqrt(dot(x, x, width) / static_cast<float>(width));
}

/// Calls body(row) for every row, on several threads.
template <typename Body>
void for_rows(const Tensor& x, const Body& body) {
  parallel_ranges(x.shape()[0], rows_a_part(x.shape()[1]), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

float* row_of(const Tensor& x, int64_t row) {
  return x.f32().data() + row * x.shape()[1];
}

struct MeanAndDeviation {
  float mean, deviation;
};

MeanAndDeviation mean_and_deviation(const float* x, int64_t width) {
  const auto count = static_cast<float>(width);
  const float mean = sum_of(width, [=](int64_t i) { return x[i]; }) / count;
  const float squares =
      sum_of(width, [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); }) / count;
  return {mean, std::sqrt(squares)};
}

}  // namespace

void scale_columns_forward(const Tensor& x, const Parameter& weight, Tensor& y) {
  const float* w = weight.value.f32().data();
  for_rows(x, [&](int64_t row) { multiply(row_of(x, row), w, x.shape()[1], row_of(y, row)); });
}

void scale_columns_backward(const Tensor& dy, const Tensor& x, Parameter& weight, Tensor& dx) {
  const int64_t rows = x.shape()[0], width = x.shape()[1];
  if (weight.trained()) {
    const std::vector<float> sums =
        sum_in_chunks(rows, width, [&](int64_t begin, int64_t end, float* sum) {
          for (int64_t row = begin; row < end; ++row) {
            const float *d = row_of(dy, row), *in = row_of(x, row);
            for (int64_t c = 0; c < width; ++c) sum[c] += d[c] * in[c];
          }
        });
    add_into(sums.data(), width, weight.gradient.f32().data());
  }
  scale_columns_forward(dy, weight, dx);
}

void with_magnitude_forward(const Tensor& x, const Tensor& of, float least, Tensor& y) {
  const int64_t width = x.shape()[1];
  for_rows(x, [&](int64_t row) {
    const float own = std::max(root_mean_square(row_of(x, row), width), least);
    scale(row_of(x, row), root_mean_square(row_of(of, row), width) / own, width, row_of(y, row));
  });
}

void with_magnitude_backward(const Tensor& dy, const Tensor& x, const Tensor& of, float least,
                             Tensor& dx, Tensor& dof) {
  const int64_t width = x.shape()[1];
  const auto count = static_cast<float>(width);
  for_rows(x, [&](int64_t row) {
    const float *d = row_of(dy, row), *in = row_of(x, row), *other = row_of(of, row);
    const float rms = root_mean_square(in, width), own = std::max(rms, least);
    const float wanted = root_mean_square(other, width);
    const float along = dot(d, in, width);
    scale(d, wanted / own, width, row_of(dx, row));
    if (rms > least) {
      add_scaled(in, -along * wanted / (own * own * own * count), width, row_of(dx, row));
    }
    scale(other, wanted == 0 ? 0 : along / (own * wanted * count), width, row_of(dof, row));
  });
}

void outliers_forward(const Tensor& x, float deviations, Tensor& y) {
  const int64_t width = x.shape()[1];
  for_rows(x, [&](int64_t row) {
    const float* in = row_of(x, row);
    float* out = row_of(y, row);
    const auto [mean, deviation] = mean_and_deviation(in, width);
    const float cut = mean + deviation * deviations;
    for (int64_t i = 0; i < width; ++i) out[i] = std::max(in[i] - cut, 0.0f);
  });
}

void outliers_backward(const Tensor& dy, const Tensor& x, float deviations, Tensor& dx) {
  const int64_t width = x.shape()[1];
  const auto count = static_cast<float>(width);
  for_rows(x, [&](int64_t row) {
    const float *d = row_of(dy, row), *in = row_of(x, row);
    float* out = row_of(dx, row);
    const MeanAndDeviation how = mean_and_deviation(in, width);
    const float cut = how.mean + how.deviation * deviations;
    const float sum = sum_of(width, [=](int64_t i) { return in[i] > cut ? d[i] : 0.0f; });
    const float by = how.deviation == 0 ? 0 : deviations / how.deviation;
    for (int64_t i = 0; i < width; ++i) {
      out[i] = (in[i] > cut ? d[i] : 0.0f) - sum / count * (1 + by * (in[i] - how.mean));
    }
  });
}

int64_t mixed_width(const Tensor& x, int64_t width, const Tensor& coefficients) {
  const int64_t streams = x.shape()[1] / width;
  require(streams * width == x.shape()[1] && coefficients.shape()[1] % streams == 0,
          "{} coefficients of {} streams", coefficients.shape()[1], streams);
  return coefficients.shape()[1] / streams * width;
}

void mix_forward(const Tensor& x, int64_t width, const Tensor& coefficients, float plus,
                 Tensor& y) {
  const int64_t ins = x.shape()[1] / width, outs = y.shape()[1] / width;
  for_rows(x, [&](int64_t row) {
    const float *in = row_of(x, row), *by = row_of(coefficients, row);
    float* out = row_of(y, row);
    for (int64_t i = 0; i < outs; ++i) {
      scale(in, by[i * ins] + plus, width, out + i * width);
      for (int64_t j = 1; j < ins; ++j) {
        add_scaled(in + j * width, by[i * ins + j] + plus, width, out + i * width);
      }
    }
  });
}

void mix_backward(const Tensor& dy, const Tensor& x, int64_t width, const Tensor& coefficients,
                  float plus, Tensor& dx, Tensor& dcoefficients) {
  const int64_t ins = x.shape()[1] / width, outs = dy.shape()[1] / width;
  for_rows(x, [&](int64_t row) {
    const float *d = row_of(dy, row), *in = row_of(x, row), *by = row_of(coefficients, row);
    float *din = row_of(dx, row), *dby = row_of(dcoefficients, row);
    std::fill_n(din, ins * width, 0.0f);
    for (int64_t i = 0; i < outs; ++i) {
      for (int64_t j = 0; j < ins; ++j) {
        add_scaled(d + i * width, by[i * ins + j] + plus, width, din + j * width);
        dby[i * ins + j] = dot(d + i * width, in + j * width, width);
      }
    }
  });
}

}  // namespace millrace
