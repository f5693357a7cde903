// Attention over pages, with its gradients, and rotary positions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/graph/pages.h"
#include "millrace/graph/parameter.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/key_selection.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// How the distances between a key and a query share the entries of a table: each has one at
/// first, then they grow with the logarithm of the distance up to max_distance (Raffel et al.
/// 2020).
struct DistanceBuckets {
  int64_t count = 0;
  int64_t max_distance = 0;
  bool both_ways = false;  ///< half of them are of the keys behind the query

  int64_t of(int64_t distance) const;
};

/// What attention may take beside queries, keys and values.
struct AttentionExtras {
  const Parameter* sinks = nullptr;       ///< AttentionShape::sinks
  const Parameter* bias_table = nullptr;  ///< [buckets, num_heads], added to scores by distance
  DistanceBuckets buckets = {};
  /// The part behind the prefixes attends to these alone. Then scores have no biases by distance.
  bool of_prefixes = false;
  KeySelection selection = {};  ///< the keys that are seen, of those that may be
};

/// Which table turns which sequence of a batch.
struct RopeTables {
  const RopeTable* all = nullptr;
  std::vector<const RopeTable*> by_sequence = {};  ///< in its place, where they differ
};

/// How rope turns heads.
struct Rotation {
  RopeTables tables;
  std::span<const int32_t> positions;  ///< [tokens], of the batch
  int64_t head_dim = 0;
  RopePairing pairing = RopePairing::half_split;
  int64_t first = 0;  ///< value of a head that is turned first; as many follow as tables have
};

/// Queries grow with their position: by 1 + beta * log(1 + floor(position / length)) (Llama 4).
struct QueryGrowth {
  float beta = 0;  ///< 0: they do not
  int64_t length = 1;

  float at(int64_t position) const;
};

/// Multiplies each row of x with what QueryGrowth has at its position.
void grow_in_place(const QueryGrowth& how, std::span<const int32_t> positions, Tensor& x);

/// The segments of a part of a batch: `segments`, which are those of the whole sequences, become
/// where it attends; `stored` are where its keys and values go, or those of the prefixes.
void segments_of(const RaggedBatch& batch, Part part, const AttentionExtras& extras,
                 std::vector<AttentionSegment>& segments, std::vector<AttentionSegment>& stored);

/// Stores keys and values, if there are any, then attends: out [tokens, num_heads · head_dim].
/// `log_sum_exp` [tokens, num_heads] is filled unless empty.
void attend(const AttentionShape& shape, DType dtype, std::span<const AttentionSegment> stored,
            std::span<const AttentionSegment> segments, const Tensor& q, const Tensor& k,
            const Tensor& v, Tensor& out, Tensor& log_sum_exp);

/// Stores an indexer's keys, then chooses by them for its queries; what it chose is in `bits`.
/// weights may be null where heads choose.
KeySelection select_keys(const KeySelector& how, DType dtype,
                         std::span<const AttentionSegment> segments, const Tensor& q,
                         const Tensor& k, const Tensor* weights, std::vector<uint64_t>& bits);

/// A shape with what extras say of its scores. The values of biases are in `biases`.
AttentionShape with_extras(AttentionShape shape, const AttentionExtras& extras,
                           std::vector<float>& biases);

/// Adds the gradient of with_extras' biases to that of the table.
void distance_bias_backward(const AttentionShape& shape, const AttentionExtras& extras,
                            std::span<const float> dbiases, Parameter& table);

/// Turns the heads of x in place; `sequence_begin` says where sequences begin in it.
void rope_in_place(const Rotation& how, std::span<const int64_t> sequence_begin, Tensor& x);
/// The gradient: turns back.
void rope_back_in_place(const Rotation& how, std::span<const int64_t> sequence_begin, Tensor& dx);

}  // namespace millrace
