#include "millrace/graph/ops/linear.h"

#include "millrace/kernels/elementwise.h"

namespace millrace {
namespace {

/// x [rows, in] as the right-hand side [in, rows] of dyᵀ · x.
const PackedMatrix& pack_input(const Tensor& x, Arithmetic arithmetic, PackedInput& packed) {
  const DType type = arithmetic == Arithmetic::bf16 ? DType::bf16 : DType::f32;
  const Tensor& held = packed.input;
  if (held.empty() || held.data() != x.data() || held.shape() != x.shape() ||
      packed.packed.type != type) {
    pack(view(x).transposed(), arithmetic, packed.packed);
    packed.input = x;
  }
  return packed.packed;
}

}  // namespace

void linear_forward(const Tensor& x, const Parameter& weight, const Parameter* bias, Tensor& y) {
  if (weight.is_packed()) {
    matmul(view(x), weight.packed, y.f32().data(), y.shape()[1]);
  } else {
    matmul(view(x), view(weight.value), weight.arithmetic, y.f32().data(), y.shape()[1]);
  }
  add_bias(bias, y);
}

void add_bias(const Parameter* bias, Tensor& y) {
  if (bias == nullptr) return;
  add_bias(bias->value.f32().data(), y.shape()[0], y.shape()[1], y.f32().data());
}

void linear_backward_input(const Tensor& dy, const Parameter& weight, bool accumulate, Tensor& dx) {
  if (weight.packed_transposed.bytes != nullptr) {
    matmul(view(dy), weight.packed_transposed, dx.f32().data(), dx.shape()[1], accumulate);
  } else {
    matmul(view(dy), view(weight.value).transposed(), weight.arithmetic, dx.f32().data(),
           dx.shape()[1], accumulate);
  }
}

void linear_backward_weight(const Tensor& dy, const Tensor& x, Parameter& weight, Parameter* bias,
                            PackedInput& packed) {
  if (weight.trained()) {
    const PackedMatrix& input = pack_input(x, weight.arithmetic, packed);
    matmul(view(dy).transposed(), input, weight.gradient.f32().data(), weight.shape[1], true);
  }
  if (bias != nullptr && bias->trained()) {
    add_column_sums(dy.f32().data(), dy.shape()[0], dy.shape()[1], bias->gradient.f32().data());
  }
}

}  // namespace millrace
