#include "millrace/kernels/linear_attention.h"

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

// Widths of heads around the vectors' and the strips' lengths.
const int64_t kDims[] = {1, 7, 16, 24, 33, 64, 80};
const int64_t kCounts[] = {5, 0, 1, 12};  // of the tokens of each sequence

/// Sequences side by side, whose states begin as random numbers.
struct Case {
  LinearAttentionShape shape;
  int64_t rows = 0;
  std::vector<float> q, k, v, dout, states;

  explicit Case(int64_t dim) : shape{3, dim, 0.7f} {
    for (int64_t count : kCounts) rows += count;
    q = normal_values(values(), 1);
    k = normal_values(values(), 2);
    v = normal_values(values(), 3);
    dout = normal_values(values(), 4);
    states = normal_values(static_cast<int64_t>(std::size(kCounts)) * shape.state_size(), 5);
  }
  int64_t values() const { return rows * shape.width(); }
  std::vector<float> fresh() const { return std::vector<float>(static_cast<size_t>(values()), 9); }

  std::vector<StateSegment> segments(std::vector<float>& memory) const {
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

/// What a call gives, and the states behind it.
struct Outputs {
  std::vector<float> out, states;
};

Outputs run(const Case& c, TimeDirection direction, decltype(linear_attention_forward)& forward) {
  Outputs result{c.fresh(), c.states};
  forward(c.shape, c.segments(result.states), direction, c.q.data(), c.k.data(), c.v.data(),
          result.out.data());
  return result;
}

TEST(LinearAttention, AgreesWithReference) {
  for_each_isa([] {
    for (int64_t dim : kDims) {
      for (TimeDirection direction : {TimeDirection::forward, TimeDirection::backward}) {
        const Case c(dim);
        const Outputs got = run(c, direction, linear_attention_forward);
        const Outputs expected = run(c, direction, reference::linear_attention_forward);
        expect_near(got.out, expected.out, 2e-5, std::to_string(dim));
        expect_near(got.states, expected.states, 1e-5, std::to_string(dim));
      }
    }
  });
}

TEST(LinearAttention, GradientsAgreeWithReference) {
  for_each_isa([] {
    for (int64_t dim : kDims) {
      const Case c(dim);
      std::vector<float> memory = c.states, others = c.states;
      std::vector<float> dq = c.fresh(), dk = dq, dv = dq, eq = dq, ek = dq, ev = dq;
      linear_attention_backward(c.shape, c.segments(memory), c.q.data(), c.k.data(), c.v.data(),
                                c.dout.data(), dq.data(), dk.data(), dv.data());
      reference::linear_attention_backward(c.shape, c.segments(others), c.q.data(), c.k.data(),
                                           c.v.data(), c.dout.data(), eq.data(), ek.data(),
                                           ev.data());
      expect_near(dq, eq, 3e-5, "dq");
      expect_near(dk, ek, 3e-5, "dk");
      expect_near(dv, ev, 3e-5, "dv");
    }
  });
}

// Tokens one by one, or in chunks of any length, on any number of threads.
TEST(LinearAttention, BitsDoNotDependOnCutsOrThreads) {
  for_each_isa([] {
    const Case c(80);
    const Outputs whole = run(c, TimeDirection::forward, linear_attention_forward);
    const int threads = num_threads();
    for (int64_t chunk : {1, 2, 5, 7}) {
      set_num_threads(static_cast<int>(chunk % 3) + 1);
      Outputs got{c.fresh(), c.states};
      for (int64_t done = 0; done < 12; done += chunk) {
        std::vector<StateSegment> parts = c.segments(got.states);
        for (StateSegment& part : parts) {
          part.begin += std::min(done, part.count);
          part.count = std::clamp<int64_t>(part.count - done, 0, chunk);
        }
        linear_attention_forward(c.shape, parts, TimeDirection::forward, c.q.data(), c.k.data(),
                                 c.v.data(), got.out.data());
      }
      expect_same_bits(got.out, whole.out, "outputs");
      expect_same_bits(got.states, whole.states, "states");
    }
    set_num_threads(threads);
  });
}

TEST(LinearAttention, SlopesAreThoseOfTheLayer) {
  const LinearAttentionShape shape{4, 8, 0.5f};
  for (int64_t head = 0; head < 4; ++head) {
    const double slope = std::pow(2.0, -2.0 * static_cast<double>(head + 1));
    EXPECT_FLOAT_EQ(linear_attention_decay(shape, head),
                    static_cast<float>(std::exp(-0.5 * slope)));
  }
}

}  // namespace
}  // namespace millrace
