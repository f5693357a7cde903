// The linear layer and its gradients against PyTorch's numbers (tools/make_kernel_goldens.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/graph/ops/linear.h"

namespace millrace {
namespace {

Tensor tensor(const Json& values, Shape shape) {
  Tensor result(DType::f32, shape);
  const auto floats = values.get<std::vector<float>>();
  EXPECT_EQ(static_cast<int64_t>(floats.size()), shape.count());
  std::copy(floats.begin(), floats.end(), result.f32().begin());
  return result;
}

Parameter parameter(const Json& values, Shape shape) {
  Parameter result;
  result.shape = shape;
  result.value = tensor(values, shape);
  make_trainable(result, Arithmetic::f32);
  return result;
}

/// Within 1e-4 of the largest value expected.
void expect_near(const Tensor& got, const Json& values, const std::string& of) {
  const auto expected = values.get<std::vector<float>>();
  float largest = 0;
  for (float value : expected) largest = std::max(largest, std::abs(value));
  ASSERT_EQ(got.f32().size(), expected.size()) << of;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(got.f32()[i], expected[i], 1e-4f * largest) << of << " at " << i;
  }
}

TEST(PyTorch, Linear) {
  const Json golden =
      read_json(std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/kernels.json").at("linear");
  const Tensor x = tensor(golden.at("x"), {21, 37}), dy = tensor(golden.at("dy"), {21, 19});
  Parameter weight = parameter(golden.at("weight"), {19, 37});
  Parameter bias = parameter(golden.at("bias"), {19});
  Tensor y(DType::f32, {21, 19}), dx(DType::f32, {21, 37});
  linear_forward(x, weight, &bias, y);
  linear_backward_input(dy, weight, false, dx);
  PackedInput packed;
  linear_backward_weight(dy, x, weight, &bias, packed);
  expect_near(y, golden.at("y"), "y");
  expect_near(dx, golden.at("dx"), "dx");
  expect_near(weight.gradient, golden.at("dweight"), "dweight");
  expect_near(bias.gradient, golden.at("dbias"), "dbias");
}

}  // namespace
}  // namespace millrace
