// How attention is divided into parts for threads, and a page into panels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/kernels/attention.h"
#include "millrace/kernels/dense_tile.h"

namespace millrace {

/// A page holds each head's keys, then each head's values, as packed weights (dense_tile.h): scores
/// are products of queries with keys, the output is one of weights with transposed values.
struct PageLayout {
  DType dtype;
  int64_t key_panel, value_panel;    // bytes of one
  int64_t key_panels, value_panels;  // of a head
  int64_t key_bytes, value_bytes;    // of a head
  int64_t all_key_bytes;             // where the values begin

  PageLayout(const AttentionShape& shape, DType type)
      : dtype(type),
        key_panel(panel_bytes(type, shape.head_dim)),
        value_panel(panel_bytes(type, kPageSize)),
        key_panels(kPageSize / kPanel),
        value_panels((shape.head_dim + kPanel - 1) / kPanel),
        key_bytes(key_panels * key_panel),
        value_bytes(value_panels * value_panel),
        all_key_bytes(shape.num_kv_heads * key_bytes) {}

  Arithmetic arithmetic() const {
    return dtype == DType::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  }
  /// Successive values of one output that lie together.
  int64_t together() const { return dtype == DType::bf16 ? 2 : 1; }
  /// Where value k of output j is, counted in values, in panels of `panel` bytes.
  int64_t offset(int64_t panel, int64_t j, int64_t k) const {
    const int64_t bytes = dtype == DType::bf16 ? 2 : 4;
    return j / kPanel * (panel / bytes) + (k / together() * kPanel + j % kPanel) * together() +
           k % together();
  }
};

/// attention_forward with given inner loops.
void attention_forward_with(const DenseKernels& kernels, const AttentionShape& shape, DType dtype,
                            std::span<const AttentionSegment> segments, const float* q, float* out,
                            float* log_sum_exp);

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

/// Dimensions of a query that fit in a row of the inner loops' left operand.
inline constexpr int64_t kDimsAtOnce = kRowBytes / static_cast<int64_t>(sizeof(float));

/// Scratch of such rows.
struct ForwardScratch {
  std::byte* queries;  // for every kDimsAtOnce dimensions [kRowsAtOnce rows of kRowStride bytes]
  std::byte* weights;  // [kRowsAtOnce rows of kRowStride bytes]
  std::byte* values;   // a page's of one head
  float* scores;       // [kRowsAtOnce, kPageSize]
  float* sums;         // [kRowsAtOnce, 32 * value_panels]

  static int64_t query_bytes(const AttentionShape& shape) {
    return (shape.head_dim + kDimsAtOnce - 1) / kDimsAtOnce * kRowsAtOnce * kRowStride;
  }
  /// Bytes that it takes.
  static int64_t size(const AttentionShape& shape, const PageLayout& layout) {
    return query_bytes(shape) + kRowsAtOnce * kRowStride + layout.value_bytes +
           4 * kRowsAtOnce * (kPageSize + kPanel * layout.value_panels);
  }
  ForwardScratch(const AttentionShape& shape, const PageLayout& layout, std::byte* memory)
      : queries(memory),
        weights(queries + query_bytes(shape)),
        values(weights + kRowsAtOnce * kRowStride),
        scores(reinterpret_cast<float*>(values + layout.value_bytes)),
        sums(scores + kRowsAtOnce * kPageSize) {}
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
