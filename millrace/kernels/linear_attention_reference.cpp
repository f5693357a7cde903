// Lightning attention in the plainest C++, in double precision; gradients by sums over all pairs of
// tokens.
#include <cmath>
#include <vector>

#include "millrace/kernels/linear_attention.h"

namespace millrace::reference {
namespace {

using Doubles = std::vector<double>;

/// Calls body(head, first value of the head in a row of the segment's first token) for all heads.
template <typename Body>
void for_each_head(const LinearAttentionShape& shape, std::span<const StateSegment> segments,
                   const Body& body) {
  for (const StateSegment& segment : segments) {
    for (int64_t head = 0; head < shape.num_heads; ++head) {
      body(segment, head, segment.begin * shape.width() + head * shape.head_dim);
    }
  }
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

}  // namespace

void linear_attention_forward(const LinearAttentionShape& shape,
                              std::span<const StateSegment> segments, TimeDirection direction,
                              const float* q, const float* k, const float* v, float* out) {
  const int64_t dim = shape.head_dim;
  for_each_head(shape, segments, [&](const StateSegment& segment, int64_t head, int64_t first) {
    const double decay = double{linear_attention_decay(shape, head)};
    float* state = segment.state + head * dim * dim;
    Doubles s(state, state + dim * dim);
    for (int64_t step = 0; step < segment.count; ++step) {
      const int64_t token = direction == TimeDirection::forward ? step : segment.count - 1 - step;
      const int64_t at = first + token * shape.width();
      for (int64_t j = 0; j < dim; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < dim; ++i) {
          double& cell = s[static_cast<size_t>(i * dim + j)];
          cell = decay * cell + double{k[at + i]} * double{v[at + j]};
          sum += double{q[at + i]} * cell;
        }
        out[at + j] = static_cast<float>(sum);
      }
    }
    for (size_t i = 0; i < s.size(); ++i) state[i] = static_cast<float>(s[i]);
  });
}

void linear_attention_backward(const LinearAttentionShape& shape,
                               std::span<const StateSegment> segments, const float* q,
                               const float* k, const float* v, const float* dout, float* dq,
                               float* dk, float* dv) {
  const int64_t dim = shape.head_dim;
  for_each_head(shape, segments, [&](const StateSegment& segment, int64_t head, int64_t first) {
    const double decay = double{linear_attention_decay(shape, head)};
    auto row = [&](int64_t token) { return first + token * shape.width(); };
    // out_t = sum over s <= t of decay^(t - s) (q_t . k_s) v_s
    for (int64_t t = 0; t < segment.count; ++t) {
      for (int64_t i = 0; i < dim; ++i) {
        double from_q = 0, from_k = 0, from_v = 0;
        for (int64_t s = 0; s <= t; ++s) {
          from_q +=
              std::pow(decay, t - s) * dot(dout + row(t), v + row(s), dim) * double{k[row(s) + i]};
        }
        for (int64_t s = t; s < segment.count; ++s) {
          const double weight = std::pow(decay, s - t);
          from_k += weight * dot(dout + row(s), v + row(t), dim) * double{q[row(s) + i]};
          from_v += weight * dot(q + row(s), k + row(t), dim) * double{dout[row(s) + i]};
        }
        dq[row(t) + i] = static_cast<float>(from_q);
        dk[row(t) + i] = static_cast<float>(from_k);
        dv[row(t) + i] = static_cast<float>(from_v);
      }
    }
  });
}

}  // namespace millrace::reference
