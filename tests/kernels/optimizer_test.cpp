#include "millrace/kernels/optimizer.h"

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

TEST(Optimizer, AdamWAgreesWithReferenceOverSteps) {
  for_each_isa([] {
    const int64_t count = 133;
    std::vector<float> param = normal_values(count, 1), m(133), v(133);
    std::vector<float> expected = param, expected_m(133), expected_v(133);
    AdamW options;
    options.weight_decay = 0.1f;
    options.grad_scale = 0.7f;
    for (options.step = 1; options.step <= 20; ++options.step) {
      const std::vector<float> grad =
          normal_values(count, 100 + static_cast<uint64_t>(options.step));
      adamw_step(options, grad.data(), count, param.data(), m.data(), v.data());
      reference::adamw_step(options, grad.data(), count, expected.data(), expected_m.data(),
                            expected_v.data());
    }
    expect_near(param, expected, 1e-6);
    expect_near(m, expected_m, 1e-6);
    expect_near(v, expected_v, 1e-6);
  });
}

TEST(Optimizer, ThreadsDoNotMatter) {
  const int64_t count = 200001;
  const std::vector<float> grad = normal_values(count, 1), start = normal_values(count, 2);
  expect_threads_do_not_matter([&] {
    std::vector<float> param = start, m(param.size()), v(param.size());
    adamw_step(AdamW{}, grad.data(), count, param.data(), m.data(), v.data());
    const double squares = sum_of_squares(grad.data(), count);
    param.push_back(static_cast<float>(squares));
    param.push_back(static_cast<float>(squares - param.back()));
    return param;
  });
}

TEST(Optimizer, SumOfSquaresAgreesWithReference) {
  for_each_isa([] {
    for (int64_t count : {0, 1, 100, 16384, 50001}) {
      const std::vector<float> a = normal_values(count, 1);
      const double expected = reference::sum_of_squares(a.data(), count);
      EXPECT_NEAR(sum_of_squares(a.data(), count), expected, 1e-6 * expected);
    }
  });
}

}  // namespace
}  // namespace millrace
