#include "millrace/kernels/loss.h"

#include <algorithm>
#include <limits>

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Loss, CrossEntropyAgreesWithReference) {
  for_each_isa([] {
    for (int64_t vocab : {1, 5, 64, 1003}) {
      const int64_t rows = 6;
      std::vector<int32_t> targets(rows);
      for (int64_t r = 0; r < rows; ++r) {
        targets[static_cast<size_t>(r)] = r == 2 ? kNotScored : static_cast<int32_t>(r % vocab);
      }
      std::vector<float> logits = normal_values(rows * vocab, 3, 4), expected = logits;
      std::vector<float> forward(rows), losses(rows), expected_losses(rows);
      cross_entropy_forward(logits.data(), targets.data(), rows, vocab, forward.data());
      cross_entropy_forward_backward(logits.data(), targets.data(), rows, vocab, 0.3f,
                                     losses.data());
      reference::cross_entropy_forward_backward(expected.data(), targets.data(), rows, vocab, 0.3f,
                                                expected_losses.data());
      expect_same_bits(forward, losses);
      expect_near(losses, expected_losses, 1e-6);
      expect_near(logits, expected, 1e-6);
      EXPECT_EQ(losses[2], 0);
    }
  });
}

TEST(Loss, ScoringHasTheBitsOfTraining) {
  for_each_isa([] {
    const int64_t rows = 40, vocab = 2001;
    std::vector<float> logits = normal_values(rows * vocab, 1, 3), alone = logits;
    std::vector<int32_t> targets(rows, 1234);
    std::vector<float> losses(rows), single(rows);
    for (int64_t r = 0; r < rows; ++r) {
      single[static_cast<size_t>(r)] = -log_softmax_at(alone.data() + r * vocab, vocab, 1234);
    }
    cross_entropy_forward_backward(logits.data(), targets.data(), rows, vocab, 1, losses.data());
    expect_same_bits(losses, single);
  });
}

TEST(Loss, ThreadsDoNotMatter) {
  const int64_t rows = 100, vocab = 1500;
  const std::vector<float> logits = normal_values(rows * vocab, 1, 3);
  const std::vector<int32_t> targets(rows, 7);
  expect_threads_do_not_matter([&] {
    std::vector<float> gradient = logits, losses(rows);
    cross_entropy_forward_backward(gradient.data(), targets.data(), rows, vocab, 1, losses.data());
    gradient.insert(gradient.end(), losses.begin(), losses.end());
    return gradient;
  });
}

TEST(Loss, SoftmaxOfMaskedAndLargeLogits) {
  for_each_isa([] {
    std::vector<float> logits = normal_values(77, 1, 30);
    for (size_t i = 0; i < logits.size(); i += 3) logits[i] = -kInfinity;
    std::vector<float> probabilities(77), expected(77);
    softmax(logits.data(), 77, probabilities.data());
    reference::softmax(logits.data(), 77, expected.data());
    expect_near(probabilities, expected, 1e-6);
    for (size_t i = 0; i < logits.size(); i += 3) EXPECT_EQ(probabilities[i], 0);
    EXPECT_NEAR(log_sum_exp(logits.data(), 77), reference::log_sum_exp(logits.data(), 77), 1e-5);
  });
}

TEST(Loss, RelativeProbabilitiesAgreeWithReference) {
  for_each_isa([] {
    for (float temperature : {0.01f, 0.7f, 1.0f, 3.0f}) {
      std::vector<float> logits = normal_values(203, 1, 5);
      for (size_t i = 0; i < logits.size(); i += 7) logits[i] = -kInfinity;
      std::vector<float> relative(203), expected(203);
      const float sum = relative_probabilities(logits.data(), 203, temperature, relative.data());
      const float expected_sum =
          reference::relative_probabilities(logits.data(), 203, temperature, expected.data());
      // An argument of -87 that is off by half an ulp gives an exponential off by 4e-6.
      expect_near(relative, expected, 1e-5);
      EXPECT_NEAR(sum, expected_sum, 1e-5 * expected_sum);
      EXPECT_EQ(*std::max_element(relative.begin(), relative.end()), 1);
      EXPECT_EQ(relative[7], 0);
    }
    std::vector<float> two = {2, 3};
    EXPECT_EQ(relative_probabilities(two.data(), 2, 1e-45f, two.data()), 1);
    EXPECT_EQ(two[0], 0);
    EXPECT_EQ(two[1], 1);
  });
}

TEST(Loss, NanIsNotHidden) {
  for_each_isa([] {
    std::vector<float> logits(40, 0.5f);
    logits[17] = kNan;
    EXPECT_TRUE(std::isnan(log_sum_exp(logits.data(), 40)));
  });
}

TEST(Loss, ArgmaxTakesTheLowestOfEqualsAndNoNan) {
  for_each_isa([] {
    for (size_t best : {0u, 1u, 15u, 16u, 63u, 64u, 100u}) {
      std::vector<float> logits(101, -2.0f);
      logits[best] = 3;
      logits.push_back(3);
      if (best > 3) logits[3] = kNan;
      EXPECT_EQ(argmax(logits.data(), 102), static_cast<int32_t>(best));
    }
    const std::vector<float> nothing(9, kNan), masked(9, -kInfinity);
    EXPECT_EQ(argmax(nothing.data(), 9), 0);
    EXPECT_EQ(argmax(masked.data(), 9), 0);
  });
}

}  // namespace
}  // namespace millrace
