#include "millrace/kernels/delta_rule.h"

#include <numeric>

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

using Floats = std::vector<float>;

const int64_t kCounts[] = {5, 0, 70, 12};  // of the tokens of each sequence

/// Around the lengths of vectors and strips; heads that share keys, and decays by channel.
const DeltaShape kShapes[] = {
    {1, 1, 1, 1, false},   {2, 4, 8, 7, false},    {3, 3, 5, 33, true},       {1, 2, 16, 64, true},
    {2, 2, 12, 80, false}, {1, 3, 24, 130, false}, {2, 6, 9, 16, true, true},
};

/// Sequences side by side, whose states begin as random numbers.
struct Case {
  DeltaShape shape;
  int64_t rows = std::accumulate(std::begin(kCounts), std::end(kCounts), int64_t{0});
  Floats q, k, v, decay, beta, dout, states;

  explicit Case(const DeltaShape& s) : shape(s) {
    // Keys of a length of about 1, as models norm them: longer ones make states grow.
    const float spread = 1 / std::sqrt(static_cast<float>(s.key_dim));
    q = normal_values(rows * s.key_width(), 1);
    k = normal_values(rows * s.key_width(), 2, spread);
    v = normal_values(rows * s.value_width(), 3);
    decay = normal_values(rows * s.decay_width(), 4);
    beta = normal_values(rows * s.value_heads, 5);
    for (Floats* x : {&decay, &beta}) {
      for (float& value : *x) value = 1 / (1 + std::exp(-value - 1));
    }
    dout = normal_values(rows * s.value_width(), 6);
    states = normal_values(static_cast<int64_t>(std::size(kCounts)) * s.state_size(), 7);
  }
  DeltaInputs in() const { return {q.data(), k.data(), v.data(), decay.data(), beta.data()}; }

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

/// What a call gives, and the states behind it.
struct Outputs {
  Floats out, states;
};

Outputs run(const Case& c, decltype(delta_rule_forward)& forward) {
  Outputs result{Floats(c.v.size(), 9), c.states};
  forward(c.shape, c.segments(result.states), c.in(), result.out.data());
  return result;
}

struct Gradients {
  Floats q, k, v, decay, beta;
};

Gradients go_back(const Case& c, decltype(delta_rule_backward)& backward) {
  Floats memory = c.states;
  Gradients result{Floats(c.q.size(), 9), Floats(c.k.size(), 9), Floats(c.v.size(), 9),
                   Floats(c.decay.size(), 9), Floats(c.beta.size(), 9)};
  backward(
      c.shape, c.segments(memory), c.in(), c.dout.data(),
      {result.q.data(), result.k.data(), result.v.data(), result.decay.data(), result.beta.data()});
  return result;
}

TEST(DeltaRule, AgreesWithReference) {
  for_each_isa([] {
    for (const DeltaShape& shape : kShapes) {
      const Case c(shape);
      const Outputs got = run(c, delta_rule_forward);
      const Outputs expected = run(c, reference::delta_rule_forward);
      const std::string what = std::to_string(shape.value_dim);
      expect_near(got.out, expected.out, 5e-5, what);
      expect_near(got.states, expected.states, 5e-5, what);
    }
  });
}

TEST(DeltaRule, GradientsAgreeWithReference) {
  for_each_isa([] {
    for (const DeltaShape& shape : kShapes) {
      const Case c(shape);
      const Gradients got = go_back(c, delta_rule_backward);
      const Gradients expected = go_back(c, reference::delta_rule_backward);
      expect_near(got.q, expected.q, 1e-4, "q");
      expect_near(got.k, expected.k, 1e-4, "k");
      expect_near(got.v, expected.v, 1e-4, "v");
      expect_near(got.decay, expected.decay, 1e-4, "decay");
      expect_near(got.beta, expected.beta, 1e-4, "beta");
    }
  });
}

TEST(DeltaRule, GradientsDoNotDependOnThreads) {
  const Case c(kShapes[6]);
  expect_threads_do_not_matter([&] {
    const Gradients got = go_back(c, delta_rule_backward);
    Floats all;
    for (const Floats* part : {&got.q, &got.k, &got.v, &got.decay, &got.beta}) {
      all.insert(all.end(), part->begin(), part->end());
    }
    return all;
  });
}

// The reference's gradients are those of its forward function.
TEST(DeltaRule, ReferenceGradientsAreDifferences) {
  for (const DeltaShape& shape : {DeltaShape{1, 2, 3, 4, false}, DeltaShape{1, 1, 3, 4, true}}) {
    Case c(shape);
    std::fill(c.states.begin(), c.states.end(), 0.0f);
    const Gradients gradients = go_back(c, reference::delta_rule_backward);
    auto loss = [&] {
      const Outputs got = run(c, reference::delta_rule_forward);
      double sum = 0;
      for (size_t i = 0; i < got.out.size(); ++i) sum += double{got.out[i]} * double{c.dout[i]};
      return sum;
    };
    const std::pair<Floats*, const Floats*> inputs[] = {{&c.q, &gradients.q},
                                                        {&c.k, &gradients.k},
                                                        {&c.v, &gradients.v},
                                                        {&c.decay, &gradients.decay},
                                                        {&c.beta, &gradients.beta}};
    for (const auto& [x, gradient] : inputs) {
      for (size_t i = 0; i < x->size(); i += x->size() / 13 + 1) {
        const float before = (*x)[i], step = 1e-2f;
        (*x)[i] = before + step;
        const double above = loss();
        (*x)[i] = before - step;
        const double below = loss();
        (*x)[i] = before;
        EXPECT_NEAR((above - below) / 2e-2, double{(*gradient)[i]}, 2e-3);
      }
    }
  }
}

TEST(DeltaRule, HeadsAreSideBySideOrInTurns) {
  DeltaShape shape{2, 6, 1, 1};
  EXPECT_EQ(shape.key_head(2), 0);
  EXPECT_EQ(shape.value_head(1, 0), 3);
  shape.turns = true;
  EXPECT_EQ(shape.key_head(2), 0);
  EXPECT_EQ(shape.key_head(3), 1);
  EXPECT_EQ(shape.value_head(1, 2), 5);
}

// Tokens one by one, or in chunks of any length, on any number of threads.
TEST(DeltaRule, BitsDoNotDependOnCutsOrThreads) {
  for_each_isa([] {
    const int threads = num_threads();
    for (const DeltaShape& shape : kShapes) {
      const Case c(shape);
      const Outputs whole = run(c, delta_rule_forward);
      for (int64_t chunk : {1, 7, 33}) {
        set_num_threads(static_cast<int>(chunk % 3) + 1);
        Outputs got{Floats(c.v.size(), 9), c.states};
        for (int64_t done = 0; done < 70; done += chunk) {
          std::vector<StateSegment> parts = c.segments(got.states);
          for (StateSegment& part : parts) {
            part.begin += std::min(done, part.count);
            part.count = std::clamp<int64_t>(part.count - done, 0, chunk);
          }
          delta_rule_forward(c.shape, parts, c.in(), got.out.data());
        }
        expect_same_bits(got.out, whole.out, "outputs");
        expect_same_bits(got.states, whole.states, "states");
      }
    }
    set_num_threads(threads);
  });
}

}  // namespace
}  // namespace millrace
