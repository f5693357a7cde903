// The ragged batch: a flat list of tokens with sequence boundaries. There is no padding anywhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

namespace millrace {

/// Which tokens of a batch: all, those of the prefixes (what an encoder reads), those behind them
/// (what its decoder reads).
enum class Part : uint8_t { whole, prefix, behind };

/// The rows of a part, side by side.
struct PartRows {
  std::vector<int64_t> rows;            ///< in the batch, ascending
  std::vector<int64_t> sequence_begin;  ///< [sequences + 1], in `rows`
};

/// Tokens of several sequences side by side. Packed training documents, a chunk of a prompt and
/// one step of many conversations are all this.
struct RaggedBatch {
  std::vector<int32_t> tokens;     ///< [tokens]
  std::vector<int32_t> positions;  ///< [tokens], absolute within the sequence
  /// [tokens], GLM's two positions (Du et al. 2022): in the text, which is that of its mask for all
  /// that fills a blank, and within the blank, from 1 on. Outside of blanks `positions`, and 0.
  std::vector<int32_t> text_positions, block_positions;
  std::vector<int32_t> token_types;           ///< [tokens], which of the texts in it (BERT); else 0
  std::vector<int64_t> sequence_begin = {0};  ///< [sequences + 1], rows where sequences begin
  /// [sequences], how many of a sequence's first tokens see each other both ways, and are seen by
  /// all behind them: the prefix of a prefix language model, what an encoder reads.
  std::vector<int32_t> prefix;
  /// [sequences], tokens that a sequence has, those outside of this batch too: some models turn
  /// keys by it (rope_length in kernels/rope.h).
  std::vector<int64_t> lengths;

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_sequences() const { return static_cast<int64_t>(sequence_begin.size()) - 1; }

  /// Rows of sequence i that are in its prefix.
  int64_t prefix_rows(int64_t i) const {
    const auto at = static_cast<size_t>(i);
    const int64_t begin = sequence_begin[at], rows = sequence_begin[at + 1] - begin;
    if (rows == 0) return 0;
    return std::clamp<int64_t>(prefix[at] - positions[static_cast<size_t>(begin)], 0, rows);
  }
  PartRows rows_of(Part part) const;

  /// Appends one sequence whose first token stands at `first_position`; `types` has a type for each
  /// token, or is empty. A prefix is never cut: it is in one batch.
  void add_sequence(std::span<const int32_t> ids, int32_t first_position = 0,
                    std::span<const int32_t> types = {}, int64_t prefix_length = 0) {
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    token_types.insert(token_types.end(), types.begin(), types.end());
    token_types.resize(tokens.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      positions.push_back(first_position + static_cast<int32_t>(i));
    }
    text_positions.insert(text_positions.end(), positions.end() - std::ssize(ids), positions.end());
    block_positions.resize(tokens.size());
    sequence_begin.push_back(num_tokens());
    prefix.push_back(static_cast<int32_t>(prefix_length));
    lengths.push_back(first_position + std::ssize(ids));
  }

  /// All of the last sequence that is behind its prefix fills the blank at `text_position`.
  void fill_blank(int32_t text_position);
  /// Says both positions of the last sequence's tokens.
  void set_blanks(std::span<const int32_t> text, std::span<const int32_t> block) {
    std::ranges::copy(text, text_positions.end() - std::ssize(text));
    std::ranges::copy(block, block_positions.end() - std::ssize(block));
  }

  /// Empties the batch; its memory is kept.
  void clear() {
    tokens.clear();
    positions.clear();
    text_positions.clear();
    block_positions.clear();
    token_types.clear();
    sequence_begin.assign(1, 0);
    prefix.clear();
    lengths.clear();
  }
};

inline void RaggedBatch::fill_blank(int32_t text_position) {
  for (auto i = static_cast<size_t>(*(sequence_begin.end() - 2)); i < tokens.size(); ++i) {
    if (positions[i] < prefix.back()) continue;
    text_positions[i] = text_position;
    block_positions[i] = positions[i] - prefix.back() + 1;
  }
}

inline PartRows RaggedBatch::rows_of(Part part) const {
  PartRows result;
  result.sequence_begin.push_back(0);
  for (int64_t i = 0; i < num_sequences(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int64_t middle = sequence_begin[at] + prefix_rows(i);
    const int64_t begin = part == Part::behind ? middle : sequence_begin[at];
    const int64_t end = part == Part::prefix ? middle : sequence_begin[at + 1];
    for (int64_t row = begin; row < end; ++row) result.rows.push_back(row);
    result.sequence_begin.push_back(static_cast<int64_t>(result.rows.size()));
  }
  return result;
}

}  // namespace millrace
