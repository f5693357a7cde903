// The gated delta rule (Yang et al. 2024, "Gated Delta Networks") as a recurrence over the tokens
// of each sequence. With a decay for each channel of the keys it is Kimi Delta Attention (Moonshot
// 2025).
#pragma once

#include <cstdint>
#include <span>

#include "millrace/kernels/state_segment.h"

namespace millrace {

struct DeltaShape {
  int64_t key_heads = 0;    // each for value_heads / key_heads value heads
  int64_t value_heads = 0;  // each with a state [key_dim, value_dim]
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  bool channel_decay = false;  // a decay for each channel of a head's keys, not one for the head
  bool turns = false;  // successive value heads are of successive key heads, not of the same one

  int64_t key_width() const { return key_heads * key_dim; }
  int64_t value_width() const { return value_heads * value_dim; }
  int64_t decay_width() const { return value_heads * (channel_decay ? key_dim : 1); }
  /// Whose keys a value head has, and the i-th of the value heads that have a key head's.
  int64_t key_head(int64_t head) const {
    return turns ? head % key_heads : head / (value_heads / key_heads);
  }
  int64_t value_head(int64_t key_head, int64_t i) const {
    return turns ? i * key_heads + key_head : key_head * (value_heads / key_heads) + i;
  }
  /// Numbers in the states of all heads of one sequence.
  int64_t state_size() const { return value_heads * key_dim * value_dim; }
};

/// q, k: [rows, key_width]; v: [rows, value_width]; decay, in 0 to 1: [rows, decay_width]; beta:
/// [rows, value_heads].
struct DeltaInputs {
  const float *q, *k, *v, *decay, *beta;
};
/// Of the same shapes.
struct DeltaGradients {
  float *q, *k, *v, *decay, *beta;
};

/// For each value head of each token: S = decay * S, row by row; S += k^T beta (v - k S); out = q
/// S. out: [rows, value_width]; rows of no segment are left. A row's bits depend on the tokens that
/// were read before it alone, however they were cut into segments, not on what else is in the batch
/// nor on threads.
void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaInputs& in, float* out);

/// Gradient of delta_rule_forward over whole sequences, whose states begin as zeros; those of the
/// segments are not looked at. Gradients are written in the segments' rows. Going back, states are
/// computed again from one that is kept every 32 tokens.
void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaInputs& in, const float* dout, const DeltaGradients& gradients);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void delta_rule_forward(const DeltaShape& shape, std::span<const StateSegment> segments,
                        const DeltaInputs& in, float* out);
void delta_rule_backward(const DeltaShape& shape, std::span<const StateSegment> segments,
                         const DeltaInputs& in, const float* dout, const DeltaGradients& gradients);
}  // namespace reference

}  // namespace millrace
