// Byte-pair encoding of words (Sennrich et al. 2016; on bytes: Radford et al. 2019).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/text/pair_map.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Immutable, so any number of threads may encode at once.
class Bpe {
 public:
  /// `definition` must outlive this. Throws Error that begins with `source` when a merge names a
  /// token that is not there.
  Bpe(const TokenizerDefinition& definition, std::string_view source);

  /// Appends the tokens of one word, any bytes: starting from bytes, the pair of lowest rank (the
  /// leftmost of them) is joined until no pair is left. Takes O(n log n) time.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  /// The token of the model that stands for these bytes, or kNoToken.
  int32_t find(std::string_view bytes) const;

 private:
  void index_tokens();
  void index_merges(std::string_view source);
  size_t symbols(std::string_view word, int32_t* out) const;
  void merge_short(std::string_view word, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view word, std::vector<int32_t>& ids) const;
  void merge(std::string_view word, std::vector<int32_t>& ids) const;

  const TokenizerDefinition& definition_;
  std::array<int32_t, 256> byte_tokens_{};
  std::vector<int32_t> token_slots_;  // hash table of ids of tokens in the model
  PairMap ranks_;                     // of pairs that are joined
  /// Tokens whose bytes, as a word, are encoded as that token: most words are looked up and done.
  std::vector<uint8_t> is_word_;
};

}  // namespace millrace
