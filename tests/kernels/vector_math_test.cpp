// Accuracy of the vector functions, in units of the last place of the true result.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "millrace/kernels/vector.h"
#include "tests/kernels/kernel_test.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/vector_math_test.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

void exp_values(const float* x, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(exp(at(x)), y); });
}

void erf_values(const float* x, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(erf(at(x)), y); });
}

void tanh_values(const float* x, int64_t count, float* y) {
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(tanh(at(x)), y); });
}

int64_t lanes_in_use() {
  return lanes();
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(exp_values);
HWY_EXPORT(erf_values);
HWY_EXPORT(tanh_values);
HWY_EXPORT(lanes_in_use);

std::vector<float> steps(float low, float high, int count) {
  std::vector<float> x;
  for (int i = 0; i <= count; ++i) {
    x.push_back(low + (high - low) * (static_cast<float>(i) / static_cast<float>(count)));
  }
  return x;
}

double error_in_ulps(float actual, double expected) {
  const float nearest = std::abs(static_cast<float>(expected));
  const double ulp =
      double{std::nextafter(nearest, std::numeric_limits<float>::infinity())} - nearest;
  return std::abs(actual - expected) / ulp;
}

TEST(VectorMath, TanhIsWithinTwoUlps) {
  for_each_isa([] {
    const std::vector<float> x = steps(-12, 12, 200000);
    std::vector<float> y(x.size());
    HWY_DYNAMIC_DISPATCH(tanh_values)(x.data(), static_cast<int64_t>(x.size()), y.data());
    double greatest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      greatest = std::max(greatest, error_in_ulps(y[i], std::tanh(double{x[i]})));
    }
    EXPECT_LE(greatest, 2);
    const float ends[] = {-INFINITY, INFINITY, NAN, 1e-30f};
    float got[4];
    HWY_DYNAMIC_DISPATCH(tanh_values)(ends, 4, got);
    EXPECT_EQ(got[0], -1);
    EXPECT_EQ(got[1], 1);
    EXPECT_TRUE(std::isnan(got[2]));
    EXPECT_EQ(got[3], 1e-30f);
  });
}

TEST(VectorMath, ExpIsWithinOneUlp) {
  for_each_isa([] {
    const std::vector<float> x = steps(-86.5f, 88.7f, 400000);
    std::vector<float> y(x.size());
    MILLRACE_DISPATCH(exp_values)(x.data(), static_cast<int64_t>(x.size()), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, error_in_ulps(y[i], std::exp(double{x[i]})));
    }
    EXPECT_LT(worst, isa() == Isa::scalar ? 1.5 : 1.0);
  });
}

TEST(VectorMath, ExpAtTheEdges) {
  for_each_isa([] {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {0, -86.7f, -1e30f, -infinity, 88.8f, infinity, std::nanf("")};
    std::vector<float> y(x.size());
    MILLRACE_DISPATCH(exp_values)(x.data(), static_cast<int64_t>(x.size()), y.data());
    EXPECT_EQ(y[0], 1);
    for (size_t i : {1u, 2u, 3u}) EXPECT_EQ(y[i], 0);
    for (size_t i : {4u, 5u}) EXPECT_EQ(y[i], infinity);
    EXPECT_TRUE(std::isnan(y[6]));
  });
}

TEST(VectorMath, ErfIsWithinTwoUlps) {
  for_each_isa([] {
    const std::vector<float> x = steps(-5, 5, 400001);
    std::vector<float> y(x.size());
    MILLRACE_DISPATCH(erf_values)(x.data(), static_cast<int64_t>(x.size()), y.data());
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] != 0) worst = std::max(worst, error_in_ulps(y[i], std::erf(double{x[i]})));
    }
    EXPECT_LT(worst, 2);
  });
}

TEST(VectorMath, DispatchFollowsTheInstructionSet) {
#if defined(__x86_64__)
  for_each_isa([] {
    const int64_t expected = isa() == Isa::scalar ? 1 : isa() == Isa::avx2 ? 8 : 16;
    EXPECT_EQ(MILLRACE_DISPATCH(lanes_in_use)(), expected);
  });
#endif
}

}  // namespace
}  // namespace millrace
#endif  // HWY_ONCE
