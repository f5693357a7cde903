// Lightning attention (Qin et al. 2024): linear attention whose past decays, as a recurrence over
// the tokens of each sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/kernels/state_segment.h"

namespace millrace {

struct LinearAttentionShape {
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  float slope_factor = 1;  // of the slopes of the heads' decays, another in each layer

  int64_t width() const { return num_heads * head_dim; }
  /// Numbers in the states of all heads of one sequence.
  int64_t state_size() const { return num_heads * head_dim * head_dim; }
};

/// What a head's state is multiplied with from one token to the next: exp(-slope), the slopes being
/// those of ALiBi, 2^(-8 (head + 1) / num_heads), times the shape's factor.
float linear_attention_decay(const LinearAttentionShape& shape, int64_t head);

enum class TimeDirection : uint8_t { forward, backward };

/// For each head of each token: S = decay * S + k^T v, out = q S. q, k, v, out: [rows, num_heads *
/// head_dim]; rows of no segment are left; states S: [num_heads, head_dim, head_dim]. Backward,
/// each segment is read from its last token to its first, which is what gradients need. A row's
/// bits depend on the tokens that were read before it alone, however they were cut into segments,
/// not on what else is in the batch nor on threads.
void linear_attention_forward(const LinearAttentionShape& shape,
                              std::span<const StateSegment> segments, TimeDirection direction,
                              const float* q, const float* k, const float* v, float* out);

/// Gradient of linear_attention_forward over whole sequences, whose states begin as zeros: dq, dk,
/// dv [rows, num_heads * head_dim] are written in the segments' rows. The segments' states are
/// memory to work in.
void linear_attention_backward(const LinearAttentionShape& shape,
                               std::span<const StateSegment> segments, const float* q,
                               const float* k, const float* v, const float* dout, float* dq,
                               float* dk, float* dv);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void linear_attention_forward(const LinearAttentionShape& shape,
                              std::span<const StateSegment> segments, TimeDirection direction,
                              const float* q, const float* k, const float* v, float* out);
void linear_attention_backward(const LinearAttentionShape& shape,
                               std::span<const StateSegment> segments, const float* q,
                               const float* k, const float* v, const float* dout, float* dq,
                               float* dk, float* dv);
}  // namespace reference

}  // namespace millrace
