// The likeliest segmentation of a word into pieces, each with a probability of its own (Kudo 2018,
// "Subword Regularization"), by Viterbi's algorithm.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/text/byte_fallback.h"
#include "millrace/text/pattern.h"
#include "millrace/text/piece_trie.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Immutable, so any number of threads may encode at once.
class Unigram {
 public:
  /// `definition` must outlive this. Throws Error that begins with `source` for a piece that is too
  /// long or a score that is no number.
  Unigram(const TokenizerDefinition& definition, std::string_view source);

  /// Appends the tokens of words of a text, which may be any bytes. Takes time linear in the words,
  /// times the longest piece.
  void encode(std::string_view text, std::span<const TextRange> words,
              std::vector<int32_t>& ids) const;

  /// The token of the model with these bytes, or kNoToken.
  int32_t find(std::string_view bytes) const { return pieces_.find(bytes); }

 private:
  /// The best segmentation that ends at a place.
  template <typename Sum>
  struct Path {
    Sum score = 0;
    uint32_t begin = 0;
    int32_t last = kNoToken;  // its last token, kUnknown for a character that no piece has
  };
  static constexpr int32_t kUnknown = -2;

  template <typename Sum>
  void find_paths(std::string_view word, std::vector<Path<Sum>>& paths) const;
  template <typename Sum>
  void append_path(std::string_view word, const std::vector<Path<Sum>>& paths,
                   std::vector<int32_t>& ids) const;

  const TokenizerDefinition& definition_;
  PieceTrie pieces_;
  ByteFallback fallback_;
  std::vector<double> scores_;  // by token
  double unknown_score_ = 0;
};

}  // namespace millrace
