#include "millrace/kernels/causal_convolution.h"

#include "millrace/kernels/decay.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

using Floats = std::vector<float>;

const int64_t kCounts[] = {5, 0, 1, 12};  // of the tokens of each sequence
const ConvolutionShape kShapes[] = {{1, 4}, {7, 1}, {16, 2}, {64, 4}, {150, 3}, {70, 16}};

/// Sequences side by side, whose states begin as random numbers.
struct Case {
  ConvolutionShape shape;
  Floats x, weight, dout, states;

  explicit Case(const ConvolutionShape& s) : shape(s) {
    x = normal_values(18 * s.width, 1);
    weight = normal_values(s.width * s.kernel, 2);
    dout = normal_values(18 * s.width, 3);
    states = normal_values(4 * s.state_size() + 1, 4);
  }
  std::vector<StateSegment> segments(Floats& memory) const {
    std::vector<StateSegment> result;
    int64_t begin = 0;
    for (int64_t count : kCounts) {
      result.push_back(
          {begin, count, memory.data() + static_cast<int64_t>(result.size()) * shape.state_size()});
      begin += count;
    }
    return result;
  }
};

/// Outputs, then the states behind them.
Floats run(const Case& c, decltype(causal_convolution_forward)& forward) {
  Floats out(c.x.size(), 9), states = c.states;
  forward(c.shape, c.segments(states), c.x.data(), c.weight.data(), out.data());
  out.insert(out.end(), states.begin(), states.end());
  return out;
}

/// Gradients of the input, then those of the weights, which begin with the weights' values.
Floats go_back(const Case& c, decltype(causal_convolution_backward)& backward) {
  Floats dx(c.x.size(), 9), dweight = c.weight, states = c.states;
  backward(c.shape, c.segments(states), c.x.data(), c.weight.data(), c.dout.data(), dx.data(),
           dweight.data());
  dx.insert(dx.end(), dweight.begin(), dweight.end());
  return dx;
}

TEST(CausalConvolution, AgreesWithReference) {
  for_each_isa([] {
    for (const ConvolutionShape& shape : kShapes) {
      const Case c(shape);
      expect_near(run(c, causal_convolution_forward), run(c, reference::causal_convolution_forward),
                  1e-5, std::to_string(shape.width));
      expect_near(go_back(c, causal_convolution_backward),
                  go_back(c, reference::causal_convolution_backward), 1e-5,
                  std::to_string(shape.width));
    }
  });
}

TEST(CausalConvolution, DoesNotDependOnCutsOrThreads) {
  const Case c(kShapes[4]);
  expect_threads_do_not_matter([&] { return go_back(c, causal_convolution_backward); });
  expect_threads_do_not_matter([&] { return run(c, causal_convolution_forward); });
  for_each_isa([&] {
    const Floats whole = run(c, causal_convolution_forward);
    for (int64_t chunk : {1, 2, 5, 7}) {
      Floats out(c.x.size(), 9), states = c.states;
      for (int64_t done = 0; done < 12; done += chunk) {
        std::vector<StateSegment> parts = c.segments(states);
        for (StateSegment& part : parts) {
          part.begin += std::min(done, part.count);
          part.count = std::clamp<int64_t>(part.count - done, 0, chunk);
        }
        causal_convolution_forward(c.shape, parts, c.x.data(), c.weight.data(), out.data());
      }
      out.insert(out.end(), states.begin(), states.end());
      expect_same_bits(out, whole, std::to_string(chunk));
    }
  });
}

TEST(Decay, IsBetweenNothingAndAllAndHasGradients) {
  const DecayShape shape{5, 2, 6};
  Floats x = normal_values(30, 1, 3), rate = normal_values(2, 2), bias = normal_values(6, 3);
  x[7] = 50;  // where 1 + exp(x) is exp(x)
  const Floats dy = normal_values(30, 4);
  auto decays = [&] {
    Floats y(30);
    decay_forward(shape, x.data(), rate.data(), bias.data(), y.data());
    return y;
  };
  const Floats y = decays();
  for (size_t i = 0; i < 30; ++i) {
    const double at = double{x[i]} + double{bias[i % 6]};
    const double expected = std::exp(-std::exp(double{rate[i % 6 / 3]}) * std::log1p(std::exp(at)));
    EXPECT_NEAR(y[i], expected, 1e-6);
  }
  auto loss = [&] {
    const Floats at = decays();
    double sum = 0;
    for (size_t i = 0; i < 30; ++i) sum += double{at[i]} * double{dy[i]};
    return sum;
  };
  Floats dx(30), drate(2, 1), dbias(6, 1);  // the last two are added to
  decay_backward(shape, x.data(), rate.data(), bias.data(), dy.data(), dx.data(), drate.data(),
                 dbias.data());
  auto expect_differences = [&](Floats& input, const Floats& gradient, float from) {
    for (size_t i = 0; i < input.size(); ++i) {
      const float before = input[i];
      input[i] = before + 1e-2f;
      const double above = loss();
      input[i] = before - 1e-2f;
      const double below = loss();
      input[i] = before;
      EXPECT_NEAR((above - below) / 2e-2, double{gradient[i] - from}, 1e-3);
    }
  };
  expect_differences(x, dx, 0);
  expect_differences(rate, drate, 1);
  expect_differences(bias, dbias, 1);
}

}  // namespace
}  // namespace millrace
