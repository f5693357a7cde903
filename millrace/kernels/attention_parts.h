// How attention is divided into parts for threads.
#pragma once

#include <cstdint>

#include "millrace/kernels/attention.h"

namespace millrace {

/// Rows (queries times the heads that share a key-value head) attended to together in the forward
/// pass: few enough to keep their state near, enough to use a page well.
inline constexpr int64_t kRowsAtOnce = 48;

/// Such rows of one segment and key-value head. Row r is head r % group of query r / group, where
/// group is the number of heads that share the key-value head.
struct RowBlock {
  const AttentionSegment* segment;
  int64_t kv_head;
  int64_t begin, end;
};

/// Queries in a tile of the backward pass.
inline constexpr int64_t kQueryTile = 32;

/// What attention_backward is given. A part of it is a segment and a key-value head.
struct BackwardArguments {
  const AttentionShape& shape;
  const float *q, *k, *v, *out, *dout, *log_sum_exp;
  float *dq, *dk, *dv;
};

/// Floats of scratch that a part of the backward pass needs.
inline int64_t backward_scratch(const AttentionShape& shape, int64_t length) {
  return 2 * (shape.head_dim + kQueryTile) * kPageSize +
         shape.num_heads / shape.num_kv_heads * length;
}

}  // namespace millrace
