// The ragged batch: a flat list of tokens with sequence boundaries. There is no padding anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

/// Tokens of several sequences side by side. Packed training documents, a chunk of a prompt and
/// one step of many conversations are all this.
struct RaggedBatch {
  std::vector<int32_t> tokens;                ///< [tokens]
  std::vector<int32_t> positions;             ///< [tokens], absolute within the sequence
  std::vector<int32_t> token_types;           ///< [tokens], which of the texts in it (BERT); else 0
  std::vector<int64_t> sequence_begin = {0};  ///< [sequences + 1], rows where sequences begin

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(sequence_begin.size()) - 1; }

  /// Appends one sequence whose first token stands at `first_position`; `types` has a type for each
  /// token, or is empty.
  void add_sequence(std::span<const int32_t> ids, int32_t first_position = 0,
                    std::span<const int32_t> types = {}) {
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    token_types.insert(token_types.end(), types.begin(), types.end());
    token_types.resize(tokens.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      positions.push_back(first_position + static_cast<int32_t>(i));
    }
    sequence_begin.push_back(num_tokens());
  }

  /// Empties the batch; its memory is kept.
  void clear() {
    tokens.clear();
    positions.clear();
    token_types.clear();
    sequence_begin.assign(1, 0);
  }
};

}  // namespace millrace
