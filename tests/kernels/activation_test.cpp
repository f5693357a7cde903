#include "millrace/kernels/activation.h"

#include <limits>

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

const Activation kAll[] = {Activation::relu,      Activation::silu, Activation::gelu,
                           Activation::gelu_tanh, Activation::tanh, Activation::sigmoid};

/// Zeros of both signs, tiny, usual and huge values: an odd number of them.
std::vector<float> points() {
  std::vector<float> x = {0.0f, -0.0f, 1e-30f, -1e-30f, 100.0f, -100.0f, 3e4f, -3e4f, 5.5f};
  for (int i = -1200; i <= 1200; ++i) x.push_back(static_cast<float>(i) * 0.0101f);
  return x;
}

TEST(Activation, ValuesAgreeWithReference) {
  for_each_isa([] {
    const std::vector<float> x = points();
    for (Activation activation : kAll) {
      std::vector<float> y(x.size()), expected(x.size());
      activation_forward(activation, x.data(), static_cast<int64_t>(x.size()), y.data());
      reference::activation_forward(activation, x.data(), static_cast<int64_t>(x.size()),
                                    expected.data());
      expect_near(y, expected, 4e-7, std::to_string(static_cast<int>(activation)));
    }
  });
}

TEST(Activation, SlopesAgreeWithReference) {
  for_each_isa([] {
    const std::vector<float> x = points();
    const auto count = static_cast<int64_t>(x.size());
    const std::vector<float> dy = normal_values(count, 5);
    for (Activation activation : kAll) {
      for (bool accumulate : {false, true}) {
        std::vector<float> dx(x.size(), 0.5f), expected(x.size(), 0.5f);
        activation_backward(activation, x.data(), dy.data(), count, dx.data(), accumulate);
        reference::activation_backward(activation, x.data(), dy.data(), count, expected.data(),
                                       accumulate);
        expect_near(dx, expected, 4e-6, std::to_string(static_cast<int>(activation)));
      }
    }
  });
}

TEST(Activation, SlopesAreThoseOfTheValues) {
  const std::vector<double> at = {-3.0, -1.1, -0.3, 0.2, 0.9, 2.5};
  for (Activation activation : kAll) {
    for (double x : at) {
      const double h = 1e-3;
      const auto low = static_cast<float>(x - h), high = static_cast<float>(x + h);
      float below = 0, above = 0, slope = 0;
      const auto middle = static_cast<float>(x);
      const float one = 1;
      reference::activation_forward(activation, &low, 1, &below);
      reference::activation_forward(activation, &high, 1, &above);
      activation_backward(activation, &middle, &one, 1, &slope, false);
      EXPECT_NEAR(slope, (double{above} - below) / (double{high} - low), 1e-3);
    }
  }
}

TEST(Activation, GatedUnitsAgreeWithReferenceAtAnyStride) {
  for_each_isa([] {
    const int64_t rows = 3, width = 37;
    for (int64_t stride : {width, 2 * width + 3}) {
      const std::vector<float> gate = normal_values(rows * stride, 1, 3),
                               up = normal_values(rows * stride, 2),
                               dy = normal_values(rows * width, 3);
      for (Activation activation : kAll) {
        std::vector<float> y(dy.size()), expected(dy.size());
        glu_forward(activation, gate.data(), up.data(), rows, width, stride, y.data());
        reference::glu_forward(activation, gate.data(), up.data(), rows, width, stride,
                               expected.data());
        expect_near(y, expected, 1e-6);
        std::vector<float> dgate(gate.size(), 7), dup(gate.size(), 7);
        std::vector<float> expected_dgate = dgate, expected_dup = dup;
        glu_backward(activation, gate.data(), up.data(), dy.data(), rows, width, stride,
                     dgate.data(), dup.data());
        reference::glu_backward(activation, gate.data(), up.data(), dy.data(), rows, width, stride,
                                expected_dgate.data(), expected_dup.data());
        expect_near(dgate, expected_dgate, 2e-6);
        expect_near(dup, expected_dup, 2e-6);
        std::vector<float> in_place_gate = gate, in_place_up = up;
        glu_backward(activation, in_place_gate.data(), in_place_up.data(), dy.data(), rows, width,
                     stride, in_place_gate.data(), in_place_up.data());
        expect_same_bits(in_place_gate.data(), dgate.data(), width);
        expect_same_bits(in_place_up.data(), dup.data(), width);
      }
    }
  });
}

void expect_clamped_units_agree(const ClampedGlu& shape) {
  for_each_isa([&] {
    const int64_t count = 531;
    const std::vector<float> gate = normal_values(count, 1, 4), up = normal_values(count, 2, 4),
                             dy = normal_values(count, 3);
    std::vector<float> y(dy.size()), expected(dy.size());
    clamped_glu_forward(shape, gate.data(), up.data(), count, y.data());
    reference::clamped_glu_forward(shape, gate.data(), up.data(), count, expected.data());
    expect_near(y, expected, 2e-6);
    std::vector<float> dgate(dy.size()), dup(dy.size()), expected_dgate = dgate, expected_dup = dup;
    clamped_glu_backward(shape, gate.data(), up.data(), dy.data(), count, dgate.data(), dup.data());
    reference::clamped_glu_backward(shape, gate.data(), up.data(), dy.data(), count,
                                    expected_dgate.data(), expected_dup.data());
    expect_near(dgate, expected_dgate, 4e-6);
    expect_near(dup, expected_dup, 4e-6);
  });
}

TEST(Activation, ClampedUnitsAgreeWithReference) {
  expect_clamped_units_agree({1.5f, 3});
  expect_clamped_units_agree({1, 2, 0});
  expect_clamped_units_agree({1, 2, 0, true});
}

TEST(Activation, BitsDoNotDependOnThePlaceInTheArray) {
  for_each_isa([] {
    const std::vector<float> x = normal_values(100, 9, 4);
    for (Activation activation : kAll) {
      std::vector<float> together(100);
      activation_forward(activation, x.data(), 100, together.data());
      for (size_t i = 0; i < 100; ++i) {
        float alone = 0;
        activation_forward(activation, &x[i], 1, &alone);
        expect_same_bits(&alone, &together[i], 1);
      }
    }
  });
}

TEST(Activation, ThreadsDoNotMatter) {
  const std::vector<float> x = normal_values(200000, 1);
  expect_threads_do_not_matter([&] {
    std::vector<float> y(x.size());
    activation_forward(Activation::gelu, x.data(), static_cast<int64_t>(x.size()), y.data());
    return y;
  });
}

TEST(Activation, NanStaysNan) {
  for_each_isa([] {
    for (Activation activation : kAll) {
      float x = std::numeric_limits<float>::quiet_NaN(), y = 0;
      activation_forward(activation, &x, 1, &y);
      EXPECT_TRUE(std::isnan(y));
    }
    const float nan = std::numeric_limits<float>::quiet_NaN(), one = 1;
    for (const auto& [gate, up] : {std::pair(nan, one), std::pair(one, nan)}) {
      float y = 0;
      clamped_glu_forward({}, &gate, &up, 1, &y);
      EXPECT_TRUE(std::isnan(y));
    }
  });
}

TEST(Activation, NamesOfConfigurations) {
  EXPECT_EQ(activation_from_name("gelu_new"), Activation::gelu_tanh);
  EXPECT_EQ(activation_from_name("silu"), Activation::silu);
  EXPECT_EQ(activation_from_name("mish"), std::nullopt);
}

}  // namespace
}  // namespace millrace
