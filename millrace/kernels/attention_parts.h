// How attention is divided into parts for threads, and a page into panels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/kernels/attention.h"
#include "millrace/kernels/dense_tile.h"

namespace millrace {

/// A page holds each head's keys, then each head's values, as packed weights (dense_tile.h): scores
/// are products of queries with keys, the output is one of weights with transposed values. A page
/// of i8 holds levels in the places of bf16's values, and behind them each head's scales: of the
/// keys [kPageSize], of the values [kPageSize].
struct PageLayout {
  bool scaled;                         // levels with scales, made bf16 for the products
  DType dtype;                         // that the products take
  int64_t key_panel, value_panel;      // bytes of one in the products
  int64_t key_panels, value_panels;    // of a head
  int64_t key_bytes, value_bytes;      // of a head in the products
  int64_t stored_keys, stored_values;  // bytes of a head in the page
  int64_t all_key_bytes;               // where the values begin
  int64_t scales;                      // where the scales begin
  int64_t page_bytes;

  PageLayout(const AttentionShape& shape, DType type)
      : scaled(type == DType::i8),
        dtype(scaled ? DType::bf16 : type),
        key_panel(panel_bytes(dtype, shape.head_dim)),
        value_panel(panel_bytes(dtype, kPageSize)),
        key_panels(kPageSize / kPanel),
        value_panels(shape.keys_only ? 0 : (shape.head_dim + kPanel - 1) / kPanel),
        key_bytes(key_panels * key_panel),
        value_bytes(value_panels * value_panel),
        stored_keys(scaled ? key_bytes / 2 : key_bytes),
        stored_values(scaled ? value_bytes / 2 : value_bytes),
        all_key_bytes(shape.num_kv_heads * stored_keys),
        scales(all_key_bytes + shape.num_kv_heads * stored_values),
        page_bytes(scales + (scaled ? shape.num_kv_heads * 8 * kPageSize : 0)) {}

  /// One head's part of a page.
  template <typename Byte>
  Byte* keys(Byte* page, int64_t head) const {
    return page + head * stored_keys;
  }
  template <typename Byte>
  Byte* values(Byte* page, int64_t head) const {
    return page + all_key_bytes + head * stored_values;
  }
  /// Those of the keys; those of the values follow.
  const float* scales_of(const std::byte* page, int64_t head) const {
    return reinterpret_cast<const float*>(page + scales) + 2 * kPageSize * head;
  }
  float* scales_of(std::byte* page, int64_t head) const {
    return reinterpret_cast<float*>(page + scales) + 2 * kPageSize * head;
  }

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
  std::byte* keys;     // the same, where they are not multiplied as they lie
  float* scores;       // [kRowsAtOnce, kPageSize]
  float* sums;         // [kRowsAtOnce, 32 * value_panels]

  static int64_t query_bytes(const AttentionShape& shape) {
    return (shape.head_dim + kDimsAtOnce - 1) / kDimsAtOnce * kRowsAtOnce * kRowStride;
  }
  static int64_t key_bytes(const PageLayout& layout) {
    return layout.scaled ? layout.key_bytes : 0;
  }
  /// Bytes that it takes.
  static int64_t size(const AttentionShape& shape, const PageLayout& layout) {
    return query_bytes(shape) + kRowsAtOnce * kRowStride + layout.value_bytes + key_bytes(layout) +
           4 * kRowsAtOnce * (kPageSize + kPanel * layout.value_panels);
  }
  ForwardScratch(const AttentionShape& shape, const PageLayout& layout, std::byte* memory)
      : queries(memory),
        weights(queries + query_bytes(shape)),
        values(weights + kRowsAtOnce * kRowStride),
        keys(values + layout.value_bytes),
        scores(reinterpret_cast<float*>(keys + key_bytes(layout))),
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

/// The keys of a segment whose first key stands at position 0 for the backward pass.
inline int64_t num_keys(const AttentionShape& shape, const AttentionSegment& segment) {
  return !shape.causal && segment.prefix > 0 ? segment.prefix : segment.query_count;
}

/// Scratch of such a part.
struct BackwardScratch {
  float *keys, *values;       // [head_dim, kPageSize]: a block of both, transposed
  float *weights, *products;  // [kQueryTile, kPageSize]
  float* drifts;              // [group, queries]: dout . out of each query and head
  float* bias;                // [group, width of the distance bias], or null: the part's gradient

  /// Floats that it takes.
  static int64_t size(const AttentionShape& shape, int64_t queries) {
    return 2 * (shape.head_dim + kQueryTile) * kPageSize +
           shape.num_heads / shape.num_kv_heads * queries;
  }
  BackwardScratch(const AttentionShape& shape, float* memory, float* bias_gradient)
      : keys(memory),
        values(keys + shape.head_dim * kPageSize),
        weights(values + shape.head_dim * kPageSize),
        products(weights + kQueryTile * kPageSize),
        drifts(products + kQueryTile * kPageSize),
        bias(bias_gradient) {}
};

}  // namespace millrace
