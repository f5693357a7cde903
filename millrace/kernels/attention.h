// Scaled dot-product attention of ragged batches over a paged key-value cache, with its gradient.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/tensor/dtype.h"

namespace millrace {

/// Positions in a page of the key-value cache.
inline constexpr int64_t kPageSize = 64;

/// What each head adds to the scores of keys by their distance, the key's position less the query's
/// (Raffel et al. 2020). Distances beyond max_distance have its value.
struct DistanceBias {
  const float* values = nullptr;  // [num_heads, width()], from those of -reach() on; null: none
  int64_t max_distance = 0;

  /// A block of keys lies within as soon as one of them does.
  int64_t reach() const { return max_distance + kPageSize; }
  int64_t width() const { return 2 * reach(); }
  /// Where the values of a head for kPageSize distances from `distance` on are, in `values`.
  int64_t at(int64_t head, int64_t distance) const {
    return head * width() + std::clamp(distance, -reach(), max_distance) + reach();
  }
};

/// Which keys queries see of those that they may (kernels/key_selection.h): bit j of word p is
/// position p * kPageSize + j.
struct KeySelection {
  const uint64_t* bits = nullptr;  // [rows, sets, words], rows as in q; null: all keys
  int64_t sets = 1;                // 1, or one for each key-value head
  int64_t words = 0;

  uint64_t page(int64_t row, int64_t kv_head, int64_t page) const {
    const int64_t set = sets == 1 ? 0 : kv_head;
    return bits ? bits[(row * sets + set) * words + page] : ~uint64_t{0};
  }
  bool has(int64_t row, int64_t kv_head, int64_t position) const {
    return page(row, kv_head, position / kPageSize) >> position % kPageSize & 1;
  }
};
static_assert(kPageSize == 64);

struct AttentionShape {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // divides num_heads; head h reads key-value head h / (their ratio)
  int64_t head_dim = 0;
  float scale = 1;  // of the dot products, usually 1 / sqrt(head_dim)
  bool causal = true;
  int64_t sliding_window = 0;       // a query sees this many positions, its own included; 0: all
  float softcap = 0;                // scaled scores s become softcap * tanh(s / softcap); 0: stay
  float alibi_max_bias = 0;         // > 0: each head's alibi_slope times the distance is taken off
  const float* sinks = nullptr;     // [num_heads] scores that are in the softmax beside the keys',
                                    // with values of 0 (gpt-oss); null: none
  DistanceBias distance_bias = {};  // added to scaled scores
  KeySelection selection = {};      // each row's has a key that it may see
  bool keys_only = false;           // pages have no values
};

/// The slope of a head's ALiBi (Press et al. 2022): with alibi_max_bias 8 and a power of two heads,
/// 2^(-8 * (head + 1) / num_heads); other numbers of heads fill up between those of the power
/// below.
float alibi_slope(const AttentionShape& shape, int64_t head);

/// Successive tokens of one sequence in a batch.
struct AttentionSegment {
  int64_t query_begin = 0;  // row of the first in q and out
  int64_t query_count = 0;
  int64_t first_position = 0;  // of the first, in its sequence
  /// Pages with the positions of all keys that are seen (in one layer), page i holding positions
  /// from i * kPageSize. Not read by the backward pass.
  std::span<std::byte* const> pages = {};
  int64_t first_key = 0;  // the position before which no query sees keys
  /// The position before which all queries see the keys, also later ones. Where attention is not
  /// causal they see no others; 0: those of the segment.
  int64_t prefix = 0;
  int64_t key_begin = -1;  // row of the first key in k and v; -1: that of the first query
};

/// The end of the keys that the query at a position sees.
inline int64_t keys_end(const AttentionShape& shape, const AttentionSegment& segment,
                        int64_t position) {
  if (shape.causal) return std::max(position + 1, segment.prefix);
  return segment.prefix > 0 ? segment.prefix : segment.first_position + segment.query_count;
}

/// Bytes of one page, a multiple of 64: each head's keys [kPageSize, head_dim], then each head's
/// values transposed [head_dim, kPageSize], both packed as weights of `dtype` (dense_tile.h). So a
/// vector holds neighbouring positions of a key's dimension, or of a pair of them in bf16, and
/// neighbouring dimensions of a value's position or pair. `dtype` is f32, bf16, or i8, levels in
/// the order of bf16 with a scale for each key and value of a head; throws Error for another. What
/// a page holds before its first use enters no result. Pages begin at multiples of 64 bytes.
size_t page_bytes(const AttentionShape& shape, DType dtype);

/// Writes the keys and values of every segment's tokens into its pages, rounded to `dtype`.
/// k, v: [rows, num_kv_heads * head_dim], rows as in q. Where there are keys only, v is not read.
void store_keys_values(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* k, const float* v);

/// out = softmax(scores) v, scores = scale * q k^T, capped and biased as the shape says, each head
/// of each query over the keys that it may see: positions up to its own, or all of its segment's
/// when not causal, or as the segment says. q, out: [rows, num_heads * head_dim]; with bf16 or i8
/// pages q and the softmax's weights are rounded to bf16 too; `log_sum_exp` [rows, num_heads]
/// receives log(sum(exp(scores))) unless it is null. The keys and values of the queries themselves
/// must be stored already. A causal row's bits depend on its own query and the cached keys and
/// values alone: decode, prefill in any chunks and training agree.
void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp);

/// Gradient of attention_forward over segments all of whose keys are in the batch. q, and k, v:
/// [rows, num_kv_heads * head_dim] are rounded to the cache's dtype; out, dout as q; dq, dk, dv are
/// written in the segments' rows. The gradient of distance_bias is added to ddistance_bias, if any,
/// which a shape with a softcap cannot have. Scores are computed again, block by block (Dao et al.
/// 2022); the bits do not depend on the threads.
void attention_backward(const AttentionShape& shape, std::span<const AttentionSegment> segments,
                        const float* q, const float* k, const float* v, const float* out,
                        const float* dout, const float* log_sum_exp, float* dq, float* dk,
                        float* dv, float* ddistance_bias = nullptr);

/// Adds to dsinks [num_heads] the gradient of shape.sinks over `rows` rows of log_sum_exp, out and
/// dout, in ascending order of the rows.
void attention_sinks_backward(const AttentionShape& shape, int64_t rows, const float* out,
                              const float* dout, const float* log_sum_exp, float* dsinks);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void store_keys_values(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* k, const float* v);
void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp);
void attention_backward(const AttentionShape& shape, std::span<const AttentionSegment> segments,
                        const float* q, const float* k, const float* v, const float* out,
                        const float* dout, const float* log_sum_exp, float* dq, float* dk,
                        float* dv, float* ddistance_bias = nullptr);
}  // namespace reference

}  // namespace millrace
