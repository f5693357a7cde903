#include "millrace/kernels/delta_rule.h"

#include <algorithm>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/delta_rule.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

#ifndef MILLRACE_DELTA_RULE_HEAD
#define MILLRACE_DELTA_RULE_HEAD
namespace millrace {
namespace {

/// One value head of one segment: the head's own columns of its first row, and how far apart rows
/// are.
struct DeltaHead {
  const float *q, *k, *v, *decay, *beta;
  int64_t key_stride, value_stride, decay_stride, beta_stride;
  int64_t decay_step;  // from one channel's decay to the next: 0 where all have one
  int64_t count, key_dim, value_dim;
};

/// What the gradients of one head go into; those of queries and keys are written by the first head
/// that shares them, and added to by the others.
struct DeltaHeadGradients {
  const float* out;
  float *q, *k, *v, *decay, *beta;
  bool adds;
};

/// What a token made of a state: v - k S and beta times that.
struct DeltaStep {
  float *difference, *delta;
};

/// Columns of a state that one thread works on, which depend on no others: those of a strip stay in
/// a cache from token to token, and a single token comes to each row once.
constexpr int64_t kStripColumns = 64, kSingleColumns = 128;
/// Tokens whose states are held at once going back.
constexpr int64_t kKeptTokens = 32;

}  // namespace
}  // namespace millrace
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// One token's pass over vectors of columns side by side, in registers. What the key reads of the
/// decayed state it reads of the state as it is, decayed itself.
template <int kVectors, typename Load, typename Store>
HWY_INLINE void read_token(const DeltaHead& head, int64_t token, float* state, int64_t column,
                           float* out, const Load& at, const Store& put) {
  const float *q = head.q + token * head.key_stride, *k = head.k + token * head.key_stride;
  const float* decay = head.decay + token * head.decay_stride;
  const float* v = head.v + token * head.value_stride + column;
  const Floats beta = set(head.beta[token * head.beta_stride]);
  const int64_t step = lanes();
  Floats seen[kVectors], sums[kVectors];
  for (int n = 0; n < kVectors; ++n) seen[n] = sums[n] = set(0.0f);
  for (int64_t i = 0; i < head.key_dim; ++i) {
    const float* cells = state + i * head.value_dim + column;
    const Floats key = set(k[i] * decay[i * head.decay_step]);
    for (int n = 0; n < kVectors; ++n) seen[n] = hn::MulAdd(key, at(cells + n * step), seen[n]);
  }
  for (int n = 0; n < kVectors; ++n) {  // what is to be added for the key
    seen[n] = hn::Mul(beta, hn::Sub(at(v + n * step), seen[n]));
  }
  for (int64_t i = 0; i < head.key_dim; ++i) {
    float* cells = state + i * head.value_dim + column;
    const Floats query = set(q[i]), key = set(k[i]), factor = set(decay[i * head.decay_step]);
    for (int n = 0; n < kVectors; ++n) {
      const Floats s = hn::MulAdd(key, seen[n], hn::Mul(factor, at(cells + n * step)));
      sums[n] = hn::MulAdd(query, s, sums[n]);
      put(s, cells + n * step);
    }
  }
  float* to = out + token * head.value_stride + column;
  for (int n = 0; n < kVectors; ++n) put(sums[n], to + n * step);
}

template <int kVectors, typename Load, typename Store>
HWY_INLINE void read_columns(const DeltaHead& head, float* state, int64_t column, float* out,
                             const Load& at, const Store& put) {
  for (int64_t token = 0; token < head.count; ++token) {
    read_token<kVectors>(head, token, state, column, out, at, put);
  }
}

void delta_rule_strip(const DeltaHead& head, float* state, int64_t begin, int64_t end, float* out) {
  const auto at = [](const float* p) HWY_ATTR { return load(p); };
  const auto put = [](Floats x, float* p) HWY_ATTR { store(x, p); };
  int64_t column = begin;
  const int64_t step = lanes();
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  // As many registers as whole rows of a usual state take, which memory gives fastest.
  for (; head.count == 1 && column + 8 * step <= end; column += 8 * step) {
    read_columns<8>(head, state, column, out, at, put);
  }
#endif
  for (; column + 4 * step <= end; column += 4 * step) {
    read_columns<4>(head, state, column, out, at, put);
  }
  for (; column + step <= end; column += step) {
    read_columns<1>(head, state, column, out, at, put);
  }
  const int64_t left = end - column;
  if (left == 0) return;
  read_columns<1>(
      head, state, column, out, [=](const float* p) HWY_ATTR { return load_first(p, left); },
      [=](Floats x, float* p) HWY_ATTR { store_first(x, p, left); });
}

/// The state behind a token from that before it, which may be the same memory.
void delta_step(const DeltaHead& head, int64_t token, const float* before, float* after,
                const DeltaStep& to) {
  const int64_t width = head.value_dim;
  const float* k = head.k + token * head.key_stride;
  const float* decay = head.decay + token * head.decay_stride;
  const float* v = head.v + token * head.value_stride;
  const Floats beta = set(head.beta[token * head.beta_stride]);
  float *difference = to.difference, *delta = to.delta;
  std::fill_n(difference, width, 0.0f);
  for (int64_t i = 0; i < head.key_dim; ++i) {
    const Floats key = set(k[i] * decay[i * head.decay_step]);
    const float* row = before + i * width;
    for_vectors(width, [=](auto at, auto put)
                           HWY_ATTR { put(hn::MulAdd(key, at(row), at(difference)), difference); });
  }
  for_vectors(width, [=](auto at, auto put) HWY_ATTR {
    const Floats apart = hn::Sub(at(v), at(difference));
    put(apart, difference);
    put(hn::Mul(beta, apart), delta);
  });
  for (int64_t i = 0; i < head.key_dim; ++i) {
    const Floats factor = set(decay[i * head.decay_step]), key = set(k[i]);
    const float* row = before + i * width;
    float* next = after + i * width;
    for_vectors(width, [=](auto at, auto put) HWY_ATTR {
      put(hn::MulAdd(key, at(delta), hn::Mul(factor, at(row))), next);
    });
  }
}

/// Back through one token: `state_gradient`, that of the state behind it, becomes that of the state
/// before it. `ddelta` [value_dim] is memory to work in.
void delta_step_back(const DeltaHead& head, int64_t token, const float* before, const float* after,
                     const DeltaStep& made, const DeltaHeadGradients& gradients,
                     float* state_gradient, float* ddelta) {
  const int64_t width = head.value_dim;
  const int64_t key_row = token * head.key_stride, value_row = token * head.value_stride;
  const float *q = head.q + key_row, *k = head.k + key_row, *dout = gradients.out + value_row;
  float *dq = gradients.q + key_row, *dk = gradients.k + key_row, *dv = gradients.v + value_row;
  const float* decay = head.decay + token * head.decay_stride;
  float* ddecay = gradients.decay + token * head.decay_stride;
  const float *delta = made.delta, *difference = made.difference;
  std::fill_n(ddelta, width, 0.0f);
  for (int64_t i = 0; i < head.key_dim; ++i) {
    const float* row = after + i * width;
    float* cells = state_gradient + i * width;
    const Floats query = set(q[i]), key = set(k[i]);
    const float to_q =
        sum_terms(width, [=](auto at, auto) HWY_ATTR { return hn::Mul(at(row), at(dout)); });
    const float to_k = sum_terms(width, [=](auto at, auto put) HWY_ATTR {
      const Floats g = hn::MulAdd(query, at(dout), at(cells));
      put(g, cells);
      put(hn::MulAdd(key, g, at(ddelta)), ddelta);
      return hn::Mul(g, at(delta));
    });
    dq[i] = gradients.adds ? dq[i] + to_q : to_q;
    dk[i] = gradients.adds ? dk[i] + to_k : to_k;
  }
  gradients.beta[token * head.beta_stride] =
      sum_terms(width, [=](auto at, auto) HWY_ATTR { return hn::Mul(at(ddelta), at(difference)); });
  const Floats beta = set(head.beta[token * head.beta_stride]);
  for_vectors(width, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(beta, at(ddelta)), dv); });
  // What the key read of the decayed state has the gradient -dv.
  float all_channels = 0;
  for (int64_t i = 0; i < head.key_dim; ++i) {
    const float* row = before + i * width;
    float* cells = state_gradient + i * width;
    const float kept = decay[i * head.decay_step];
    const Floats factor = set(kept), key = set(k[i]);
    dk[i] -=
        kept * sum_terms(width, [=](auto at, auto) HWY_ATTR { return hn::Mul(at(row), at(dv)); });
    const float to_decay = sum_terms(width, [=](auto at, auto put) HWY_ATTR {
      const Floats g = hn::NegMulAdd(key, at(dv), at(cells));
      put(hn::Mul(factor, g), cells);
      return hn::Mul(g, at(row));
    });
    if (head.decay_step != 0) ddecay[i] = to_decay;
    all_channels += to_decay;
  }
  if (head.decay_step == 0) *ddecay = all_channels;
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(delta_rule_strip);
HWY_EXPORT(delta_step);
HWY_EXPORT(delta_step_back);

/// Where a value head's columns begin in the rows of a segment.
struct HeadColumns {
  int64_t key, value, decay, beta;
};

HeadColumns columns_of(const DeltaShape& shape, const StateSegment& segment, int64_t head) {
  const int64_t key_head = shape.key_head(head);
  const int64_t decays = shape.decay_width() / shape.value_heads;
  return {segment.begin * shape.key_width() + key_head * shape.key_dim,
          segment.begin * shape.value_width() + head * shape.value_dim,
          segment.begin * shape.decay_width() + head * decays,
          segment.begin * shape.value_heads + head};
}

DeltaHead head_of(const DeltaShape& shape, const StateSegment& segment, int64_t head,
                  const DeltaInputs& in) {
  const HeadColumns at = columns_of(shape, segment, head);
  return {in.q + at.key,       in.k + at.key,
          in.v + at.value,     in.decay + at.decay,
          in.beta + at.beta,   shape.key_width(),
          shape.value_width(), shape.decay_width(),
          shape.value_heads,   shape.channel_decay ? 1 : 0,
          segment.count,       shape.key_dim,
          shape.value_dim};
}

/// The states of one head at the tokens that are gone back through, and what is between them.
class KeptStates {
 public:
  explicit KeptStates(const DeltaHead& head)
      : head_(head),
        size_(static_cast<size_t>(head.key_dim * head.value_dim)),
        states_(static_cast<size_t>(kKeptTokens + 1) * size_),
        steps_(static_cast<size_t>(2 * kKeptTokens * head.value_dim)) {
    const auto step = MILLRACE_DISPATCH(delta_step);
    const int64_t chunks = (head.count + kKeptTokens - 1) / kKeptTokens;
    begins_.resize(static_cast<size_t>(chunks) * size_);
    std::vector<float> state(size_);
    for (int64_t token = 0; token < head.count; ++token) {
      if (token % kKeptTokens == 0) {
        const auto chunk = static_cast<size_t>(token / kKeptTokens);
        std::copy_n(state.data(), size_, begins_.data() + chunk * size_);
      }
      step(head, token, state.data(), state.data(), made(0));
    }
  }

  /// Computes again the states of the tokens [chunk · kKeptTokens, …).
  void compute(int64_t chunk) {
    const auto step = MILLRACE_DISPATCH(delta_step);
    const int64_t first = chunk * kKeptTokens;
    std::copy_n(begins_.data() + static_cast<size_t>(chunk) * size_, size_, states_.data());
    for (int64_t i = 0; first + i < head_.count && i < kKeptTokens; ++i) {
      step(head_, first + i, state(i), state(i + 1), made(i));
    }
  }

  /// Before the i-th token of the chunk; behind it i + 1's.
  float* state(int64_t i) { return states_.data() + static_cast<size_t>(i) * size_; }
  DeltaStep made(int64_t i) {
    float* at = steps_.data() + 2 * i * head_.value_dim;
    return {at, at + head_.value_dim};
  }

 private:
  const DeltaHead& head_;
  size_t size_;
  std::vector<float> begins_, states_, steps_;
};

void back_through_head(const DeltaHead& head, const DeltaHeadGradients& gradients) {
  const auto back = MILLRACE_DISPATCH(delta_step_back);
  KeptStates kept(head);
  std::vector<float> state_gradient(static_cast<size_t>(head.key_dim * head.value_dim));
  std::vector<float> ddelta(static_cast<size_t>(head.value_dim));
  for (int64_t token = head.count - 1; token >= 0; --token) {
    const int64_t i = token % kKeptTokens;
    if (token == head.count - 1 || i == kKeptTokens - 1) kept.compute(token / kKeptTokens);
    back(head, token, kept.state(i), kept.state(i + 1), kept.made(i), gradients,
         state_gradient.data(), ddelta.data());
  }
}

}  // namespace

void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaInputs& in, float* out) {
  const auto strip = MILLRACE_DISPATCH(delta_rule_strip);
  const bool single = std::all_of(segments.begin(), segments.end(),
                                  [](const StateSegment& segment) { return segment.count <= 1; });
  const int64_t columns = single ? kSingleColumns : kStripColumns;
  const int64_t strips = (shape.value_dim + columns - 1) / columns;
  const int64_t parts = shape.value_heads * strips;
  parallel_for(static_cast<int64_t>(segments.size()) * parts, [&](int64_t i) {
    const StateSegment& segment = segments[static_cast<size_t>(i / parts)];
    if (segment.count == 0) return;
    const int64_t head = i % parts / strips, column = i % strips * columns;
    strip(head_of(shape, segment, head, in), segment.state + head * shape.key_dim * shape.value_dim,
          column, std::min(shape.value_dim, column + columns),
          out + columns_of(shape, segment, head).value);
  });
}

// With G the gradient of a state: behind a token G += q^T dout, dq = S dout; dk = G delta and
// ddelta = k G; dbeta = ddelta (v - k S'), dv = beta ddelta, S' being the decayed state, which then
// has the gradient G - k^T dv, and gives dk -= S' dv.
void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaInputs& in, const float* dout,
                         const DeltaGradients& gradients) {
  const int64_t shared = shape.value_heads / shape.key_heads;
  parallel_for(static_cast<int64_t>(segments.size()) * shape.key_heads, [&](int64_t task) {
    const StateSegment& segment = segments[static_cast<size_t>(task / shape.key_heads)];
    if (segment.count == 0) return;
    for (int64_t i = 0; i < shared; ++i) {
      const int64_t head = shape.value_head(task % shape.key_heads, i);
      const HeadColumns at = columns_of(shape, segment, head);
      back_through_head(
          head_of(shape, segment, head, in),
          {dout + at.value, gradients.q + at.key, gradients.k + at.key, gradients.v + at.value,
           gradients.decay + at.decay, gradients.beta + at.beta, i > 0});
    }
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
