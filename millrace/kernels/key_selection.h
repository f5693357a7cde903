// Which keys of a long context a query attends to: those that a small indexer scores best.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "millrace/kernels/attention.h"

namespace millrace {

/// An indexer: queries and keys of its own, whose products score the keys of attention.
struct KeySelector {
  int64_t num_heads = 0;     // of its queries; they share its keys
  int64_t head_dim = 0;      // up to 512
  int64_t count = 0;         // of the blocks that a query sees at most
  int64_t block_size = 1;    // positions that are chosen together, scored by the best of them
  int64_t local_blocks = 0;  // the last ones up to a query's own, which it always sees
  /// Each head chooses for one of attention's key-value heads, by its products (MiniMax 2026). Or
  /// all heads choose together, by the sum of their products, those below 0 left out, times weights
  /// of the query (DeepSeek-AI 2025).
  bool heads_choose = false;

  int64_t sets() const { return heads_choose ? num_heads : 1; }
  /// How its keys are cached, as those of a head without values.
  AttentionShape shape() const;
  /// What they are cached as beside keys and values of `dtype`: levels of 8 bits would be too
  /// coarse to choose by.
  static DType key_dtype(DType dtype) { return dtype == DType::i8 ? DType::bf16 : dtype; }
};

/// Throws Error, naming `source`, for what a selector cannot be.
void validate(const KeySelector& selector, std::string_view source);

/// Chooses keys for the queries of segments whose pages hold the indexer's keys in `dtype`, the
/// queries' own among them. q: [rows, num_heads * head_dim]; weights: [rows, num_heads], not read
/// where heads choose; bits: KeySelection's [rows, sets(), words]. Of keys with the same score the
/// earlier are taken. A row's bits depend on its own query and the cached keys alone.
void select_keys(const KeySelector& selector, DType dtype,
                 std::span<const AttentionSegment> segments, const float* q, const float* weights,
                 int64_t words, uint64_t* bits);

/// The same in the plainest C++.
namespace reference {
void select_keys(const KeySelector& selector, std::span<const AttentionSegment> segments,
                 const float* q, const float* k, const float* weights, int64_t words,
                 uint64_t* bits);
}  // namespace reference

}  // namespace millrace
