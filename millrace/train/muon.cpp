#include "millrace/train/muon.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/optimizer.h"

namespace millrace {
namespace {

constexpr int64_t kGrain = 1 << 14;

/// p(s) = a s + b s^3 + c s^5, applied to every singular value s.
struct Quintic {
  float a, b, c;
};

/// The optimal polynomials for five steps, with the paper's safety factor of 1.02.
constexpr Quintic kPolarExpress[] = {
    {8.156554524902461f, -22.48329292557795f, 15.878769915207462f},
    {4.042929935166739f, -2.808917465908714f, 0.5000178451051316f},
    {3.8916678022926607f, -2.772484153217685f, 0.5060648178503393f},
    {3.285753657755655f, -2.3681294933425376f, 0.46449024233003106f},
    {2.3465413258596377f, -1.7097828382687081f, 0.42323551169305323f},
};
constexpr float kSafety = 1.02f;

/// Calls `body(i)` for every index of `values`.
template <typename Body>
void for_each_index(const Tensor& values, Body&& body) {
  parallel_ranges(values.count(), kGrain, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) body(i);
  });
}

void transpose_into(const Tensor& from, Tensor& to) {
  const auto rows = static_cast<size_t>(from.shape()[0]),
             cols = static_cast<size_t>(from.shape()[1]);
  std::span<const float> in = from.f32();
  std::span<float> out = to.f32();
  parallel_ranges(static_cast<int64_t>(cols), 16, [&](int64_t begin, int64_t end) {
    for (auto j = static_cast<size_t>(begin); j < static_cast<size_t>(end); ++j) {
      for (size_t i = 0; i < rows; ++i) out[j * rows + i] = in[i * cols + j];
    }
  });
}

/// y [m, m] = x · xᵀ for a packed x. Both triangles would have the same bits, so that right of the
/// diagonal's blocks nothing is multiplied.
void multiply_by_transpose(const Tensor& x, const PackedMatrix& packed, Tensor& y) {
  constexpr int64_t kRows = 64;
  const int64_t m = x.shape()[0];
  PackedMatrix left = packed;  // its first panels are a packed matrix of fewer outputs
  for (int64_t row = 0; row < m; row += kRows) {
    left.n = std::min(m, row + kRows);
    matmul(view(x.rows(row, left.n)), left, y.f32().data() + row * m, m);
  }
  std::span<float> values = y.f32();
  const auto size = static_cast<size_t>(m);
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = i + 1; j < size; ++j) values[i * size + j] = values[j * size + i];
  }
}

/// The iteration on X [m, n] with m <= n, so that its products are as small as can be:
/// A = X X^T, X = a X + (b A + c A A) X.
void iterate(Tensor& x, Arithmetic arithmetic) {
  const int64_t m = x.shape()[0], n = x.shape()[1];
  Tensor gram(DType::f32, {m, m}, false), square(DType::f32, {m, m}, false);
  Tensor product(DType::f32, {m, n}, false);
  PackedMatrix packed_x, packed_gram, packed_columns;
  std::span<float> values = x.f32();
  for (const Quintic& p : kPolarExpress) {
    pack(view(x), arithmetic, packed_x);
    multiply_by_transpose(x, packed_x, gram);
    pack(view(gram), arithmetic, packed_gram);  // symmetric, so it is its own transpose
    multiply_by_transpose(gram, packed_gram, square);
    std::span<float> g = gram.f32(), s = square.f32();
    for_each_index(gram, [&](size_t i) { g[i] = p.b * g[i] + p.c * s[i]; });
    pack(view(x).transposed(), arithmetic, packed_columns);
    matmul(view(gram), packed_columns, product.f32().data(), n);
    std::span<float> y = product.f32();
    for_each_index(x, [&](size_t i) { values[i] = p.a * values[i] + y[i]; });
  }
}

}  // namespace

void orthogonalize(Tensor& matrix, Arithmetic arithmetic) {
  std::span<float> values = matrix.f32();
  const double norm = std::sqrt(sum_of_squares(values.data(), matrix.count()));
  const auto scale = static_cast<float>(1 / (norm * kSafety + 1e-6));
  for_each_index(matrix, [&](size_t i) { values[i] *= scale; });
  if (matrix.shape()[0] <= matrix.shape()[1]) return iterate(matrix, arithmetic);
  Tensor wide(DType::f32, {matrix.shape()[1], matrix.shape()[0]}, false);
  transpose_into(matrix, wide);
  iterate(wide, arithmetic);
  transpose_into(wide, matrix);
}

void muon_step(const Muon& options, const Tensor& grad, Tensor& param, Tensor& buffer) {
  Tensor update(DType::f32, param.shape(), false);
  std::span<const float> g = grad.f32();
  std::span<float> b = buffer.f32(), u = update.f32(), p = param.f32();
  const float keep = options.momentum, take = 1 - options.momentum;
  for_each_index(param, [&](size_t i) {
    const float scaled = g[i] * options.grad_scale;
    b[i] = keep * b[i] + take * scaled;
    u[i] = keep * b[i] + take * scaled;
  });
  orthogonalize(update, options.arithmetic);
  const auto rows = static_cast<double>(param.shape()[0]),
             cols = static_cast<double>(param.shape()[1]);
  const auto step =
      static_cast<float>(options.learning_rate * std::sqrt(std::max(1.0, rows / cols)));
  const float decay = 1 - options.learning_rate * options.weight_decay;
  for_each_index(param, [&](size_t i) { p[i] = p[i] * decay - step * u[i]; });
}

}  // namespace millrace
