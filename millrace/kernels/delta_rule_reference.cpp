// The gated delta rule in the plainest C++, in double precision; the backward pass holds every
// state.
#include <vector>

#include "millrace/kernels/delta_rule.h"

namespace millrace::reference {
namespace {

using Doubles = std::vector<double>;

/// Numbers of one value head of one row, and where its results go.
struct Token {
  const float *q, *k, *v, *decay;
  double beta;
  int64_t decay_step;

  double kept(int64_t i) const { return double{decay[i * decay_step]}; }
};

Token token_of(const DeltaShape& shape, const DeltaInputs& in, int64_t row, int64_t head) {
  const int64_t key = row * shape.key_width() + shape.key_head(head) * shape.key_dim;
  const int64_t decays = shape.channel_decay ? shape.key_dim : 1;
  return {in.q + key,
          in.k + key,
          in.v + row * shape.value_width() + head * shape.value_dim,
          in.decay + row * shape.decay_width() + head * decays,
          double{in.beta[row * shape.value_heads + head]},
          shape.channel_decay ? 1 : 0};
}

/// v - k S, S [key_dim, value_dim] being the state that has decayed.
Doubles difference(const DeltaShape& shape, const Token& token, const Doubles& decayed) {
  Doubles result(token.v, token.v + shape.value_dim);
  for (int64_t i = 0; i < shape.key_dim; ++i) {
    for (int64_t j = 0; j < shape.value_dim; ++j) {
      result[static_cast<size_t>(j)] -=
          double{token.k[i]} * decayed[static_cast<size_t>(i * shape.value_dim + j)];
    }
  }
  return result;
}

Doubles decayed(const DeltaShape& shape, const Token& token, Doubles state) {
  for (size_t cell = 0; cell < state.size(); ++cell) {
    state[cell] *= token.kept(static_cast<int64_t>(cell) / shape.value_dim);
  }
  return state;
}

Doubles state_behind(const DeltaShape& shape, const Token& token, const Doubles& before) {
  Doubles state = decayed(shape, token, before);
  const Doubles apart = difference(shape, token, state);
  for (size_t cell = 0; cell < state.size(); ++cell) {
    const auto i = static_cast<int64_t>(cell) / shape.value_dim;
    const size_t j = cell % static_cast<size_t>(shape.value_dim);
    state[cell] += double{token.k[i]} * token.beta * apart[j];
  }
  return state;
}

/// Adds to the gradients of one head of one row; `g`, that of the state behind it, becomes that of
/// the one before.
void back(const DeltaShape& shape, const Token& token, const Doubles& before, const float* dout,
          Doubles& g, const DeltaGradients& to) {
  const Doubles kept = decayed(shape, token, before), behind = state_behind(shape, token, before);
  const Doubles apart = difference(shape, token, kept);
  Doubles ddelta(apart.size());
  for (size_t cell = 0; cell < g.size(); ++cell) {
    const auto i = static_cast<int64_t>(cell) / shape.value_dim;
    const size_t j = cell % static_cast<size_t>(shape.value_dim);
    to.q[i] += static_cast<float>(behind[cell] * double{dout[j]});
    g[cell] += double{token.q[i]} * double{dout[j]};
    to.k[i] += static_cast<float>(g[cell] * token.beta * apart[j]);
    ddelta[j] += double{token.k[i]} * g[cell];
  }
  for (size_t j = 0; j < apart.size(); ++j) {
    *to.beta += static_cast<float>(ddelta[j] * apart[j]);
    to.v[j] += static_cast<float>(token.beta * ddelta[j]);
  }
  for (size_t cell = 0; cell < g.size(); ++cell) {
    const auto i = static_cast<int64_t>(cell) / shape.value_dim;
    const double dv = token.beta * ddelta[cell % static_cast<size_t>(shape.value_dim)];
    to.k[i] -= static_cast<float>(kept[cell] * dv);
    g[cell] -= double{token.k[i]} * dv;
    to.decay[i * token.decay_step] += static_cast<float>(g[cell] * before[cell]);
    g[cell] *= token.kept(i);
  }
}

}  // namespace

void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaInputs& in, float* out) {
  const int64_t size = shape.key_dim * shape.value_dim;
  for (const StateSegment& segment : segments) {
    for (int64_t head = 0; head < shape.value_heads; ++head) {
      float* state = segment.state + head * size;
      Doubles s(state, state + size);
      for (int64_t row = segment.begin; row < segment.begin + segment.count; ++row) {
        const Token token = token_of(shape, in, row, head);
        s = state_behind(shape, token, s);
        for (int64_t j = 0; j < shape.value_dim; ++j) {
          double sum = 0;
          for (int64_t i = 0; i < shape.key_dim; ++i) {
            sum += double{token.q[i]} * s[static_cast<size_t>(i * shape.value_dim + j)];
          }
          out[row * shape.value_width() + head * shape.value_dim + j] = static_cast<float>(sum);
        }
      }
      for (size_t i = 0; i < s.size(); ++i) state[i] = static_cast<float>(s[i]);
    }
  }
}

void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaInputs& in, const float* dout,
                         const DeltaGradients& gradients) {
  for (const StateSegment& segment : segments) {
    const int64_t first = segment.begin, end = segment.begin + segment.count;
    const auto clear = [&](float* x, int64_t width) {
      for (int64_t i = first * width; i < end * width; ++i) x[i] = 0;
    };
    clear(gradients.q, shape.key_width());
    clear(gradients.k, shape.key_width());
    clear(gradients.v, shape.value_width());
    clear(gradients.decay, shape.decay_width());
    clear(gradients.beta, shape.value_heads);
    for (int64_t head = 0; head < shape.value_heads; ++head) {
      std::vector<Doubles> states = {Doubles(static_cast<size_t>(shape.key_dim * shape.value_dim))};
      for (int64_t row = first; row < end; ++row) {
        states.push_back(state_behind(shape, token_of(shape, in, row, head), states.back()));
      }
      Doubles g(states.front().size());
      for (int64_t row = end - 1; row >= first; --row) {
        const int64_t key = row * shape.key_width() + shape.key_head(head) * shape.key_dim;
        const int64_t value = row * shape.value_width() + head * shape.value_dim;
        const int64_t decays = shape.channel_decay ? shape.key_dim : 1;
        back(shape, token_of(shape, in, row, head), states[static_cast<size_t>(row - first)],
             dout + value, g,
             {gradients.q + key, gradients.k + key, gradients.v + value,
              gradients.decay + row * shape.decay_width() + head * decays,
              gradients.beta + row * shape.value_heads + head});
      }
    }
  }
}

}  // namespace millrace::reference
