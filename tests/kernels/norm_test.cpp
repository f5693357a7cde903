#include "millrace/kernels/norm.h"

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

// Widths around the vectors' and the unrolled loops' lengths.
const int64_t kWidths[] = {1, 7, 16, 33, 64, 65, 130, 576};

struct Result {
  std::vector<float> y, first, second;  // first and second: what is saved, or dweight and dbias
  std::vector<float> all() const {
    std::vector<float> joined = y;
    joined.insert(joined.end(), first.begin(), first.end());
    joined.insert(joined.end(), second.begin(), second.end());
    return joined;
  }
};

Result sized(int64_t values, int64_t first, int64_t second) {
  return {std::vector<float>(static_cast<size_t>(values), 0.25f),
          std::vector<float>(static_cast<size_t>(first), 0.5f),
          std::vector<float>(static_cast<size_t>(second), 0.75f)};
}

struct Case {
  int64_t rows, width;
  std::vector<float> x, dy, weight, bias;
  Case(int64_t r, int64_t w)
      : rows(r),
        width(w),
        x(normal_values(r * w, 1)),
        dy(normal_values(r * w, 2)),
        weight(normal_values(w, 3)),
        bias(normal_values(w, 4)) {}

  Result rms() const {
    Result r = sized(rows * width, rows, 0);
    rms_norm_forward(x.data(), weight.data(), rows, width, 1e-5f, r.y.data(), r.first.data());
    return r;
  }
  Result rms_backward(bool accumulate) const {
    Result saved = rms(), r = sized(rows * width, width, 0);
    rms_norm_backward(dy.data(), x.data(), weight.data(), saved.first.data(), rows, width,
                      r.y.data(), accumulate, r.first.data());
    return r;
  }
  Result layer() const {
    Result r = sized(rows * width, rows, rows);
    layer_norm_forward(x.data(), weight.data(), bias.data(), rows, width, 1e-5f, r.y.data(),
                       r.first.data(), r.second.data());
    return r;
  }
  Result layer_backward(bool accumulate) const {
    Result saved = layer(), r = sized(rows * width, width, width);
    layer_norm_backward(dy.data(), x.data(), weight.data(), saved.first.data(), saved.second.data(),
                        rows, width, r.y.data(), accumulate, r.first.data(), r.second.data());
    return r;
  }
};

TEST(Norm, RmsAgreesWithReference) {
  for_each_isa([] {
    for (int64_t width : kWidths) {
      const Case c(5, width);
      Result expected = sized(5 * width, 5, 0);
      reference::rms_norm_forward(c.x.data(), c.weight.data(), 5, width, 1e-5f, expected.y.data(),
                                  expected.first.data());
      expect_near(c.rms().all(), expected.all(), 2e-6, std::to_string(width));
    }
  });
}

TEST(Norm, LayerAgreesWithReference) {
  for_each_isa([] {
    for (int64_t width : kWidths) {
      const Case c(5, width);
      Result expected = sized(5 * width, 5, 5);
      reference::layer_norm_forward(c.x.data(), c.weight.data(), c.bias.data(), 5, width, 1e-5f,
                                    expected.y.data(), expected.first.data(),
                                    expected.second.data());
      expect_near(c.layer().all(), expected.all(), 1e-5, std::to_string(width));
    }
  });
}

TEST(Norm, BackwardsAgreeWithReference) {
  for_each_isa([] {
    for (bool accumulate : {false, true}) {
      for (int64_t width : {7, 64, 130}) {
        const Case c(300, width);
        Result rms = c.rms(), layer = c.layer();
        Result expected = sized(300 * width, width, 0);
        reference::rms_norm_backward(c.dy.data(), c.x.data(), c.weight.data(), rms.first.data(),
                                     300, width, expected.y.data(), accumulate,
                                     expected.first.data());
        expect_near(c.rms_backward(accumulate).all(), expected.all(), 2e-5, "rms");
        expected = sized(300 * width, width, width);
        reference::layer_norm_backward(c.dy.data(), c.x.data(), c.weight.data(), layer.first.data(),
                                       layer.second.data(), 300, width, expected.y.data(),
                                       accumulate, expected.first.data(), expected.second.data());
        expect_near(c.layer_backward(accumulate).all(), expected.all(), 2e-5, "layer");
      }
    }
  });
}

TEST(Norm, RowsDoNotDependOnTheirCompany) {
  for_each_isa([] {
    const Case many(9, 130);
    const std::vector<float> rms = many.rms().y, layer = many.layer().y;
    for (int64_t r = 0; r < 9; ++r) {
      Case one(1, 130);
      one.x.assign(many.x.begin() + r * 130, many.x.begin() + (r + 1) * 130);
      expect_same_bits(one.rms().y.data(), rms.data() + r * 130, 130);
      expect_same_bits(one.layer().y.data(), layer.data() + r * 130, 130);
    }
  });
}

TEST(Norm, ThreadsDoNotMatter) {
  const Case c(700, 96);
  expect_threads_do_not_matter([&] { return c.rms().all(); });
  expect_threads_do_not_matter([&] { return c.rms_backward(true).all(); });
  expect_threads_do_not_matter([&] { return c.layer().all(); });
  expect_threads_do_not_matter([&] { return c.layer_backward(false).all(); });
}

TEST(Norm, GradientMayBeWrittenOverItsInput) {
  const Case c(3, 33);
  Result saved = c.rms();
  std::vector<float> gradient = c.dy, ones(33, 0.5f);
  rms_norm_backward(gradient.data(), c.x.data(), c.weight.data(), saved.first.data(), 3, 33,
                    gradient.data(), false, ones.data());
  expect_same_bits(gradient, c.rms_backward(false).y);
}

}  // namespace
}  // namespace millrace
