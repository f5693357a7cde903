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

/// Scratch of such a part.
struct BackwardScratch {
  float *keys, *values;       // [head_dim, kPageSize]: a block of both, transposed
  float *weights, *products;  // [kQueryTile, kPageSize]
  float* drifts;              // [group, length]: dout . out of each query and head

  /// Floats that it takes.
  static int64_t size(const AttentionShape& shape, int64_t length) {
    return 2 * (shape.head_dim + kQueryTile) * kPageSize +
           shape.num_heads / shape.num_kv_heads * length;
  }
  BackwardScratch(const AttentionShape& shape, float* memory)
      : keys(memory),
        values(keys + shape.head_dim * kPageSize),
        weights(values + shape.head_dim * kPageSize),
        products(weights + kQueryTile * kPageSize),
        drifts(products + kQueryTile * kPageSize) {}
};

}  // namespace millrace
