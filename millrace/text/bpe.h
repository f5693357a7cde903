// Byte-pair encoding of words (Sennrich et al. 2016; on bytes: Radford et al. 2019; on characters
// with bytes to fall back to: Kudo and Richardson 2018).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/base/indexed_map.h"
#include "millrace/text/byte_fallback.h"
#include "millrace/text/character_starts.h"
#include "millrace/text/pair_map.h"
#include "millrace/text/pattern.h"
#include "millrace/text/piece_trie.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Immutable, so any number of threads may encode at once.
class Bpe {
 public:
  /// `definition` must outlive this. Throws Error that begins with `source` when a merge names a
  /// token that is not there.
  Bpe(const TokenizerDefinition& definition, std::string_view source);

  /// Appends the tokens of words of a text, none of them empty, which may be any bytes: starting
  /// from a word's bytes or characters, the pair of lowest rank (the leftmost of them) is joined
  /// until no pair is left. What a character model keeps is found first and stays as it is. Takes
  /// O(n log n) time.
  void encode(std::string_view text, std::span<const TextRange> words,
              std::vector<int32_t>& ids) const;

  /// The token of the model that stands for these bytes, or kNoToken.
  int32_t find(std::string_view bytes) const;

 private:
  /// A word and its token: the word's bytes, with their number in the last; of a word of more than
  /// kMaxWhole bytes only the first, and a hash.
  struct Word {
    uint64_t low = 0;
    uint64_t high = 0;  // 0: the slot is free
    int32_t id = kNoToken;
  };
  static constexpr size_t kMaxWhole = 15;
  /// Up to so many bytes, looking through all pairs for the lowest rank beats a priority queue.
  static constexpr size_t kShortWord = 96;
  /// What merging begins with: a byte, or else (byte < 0) what a character begins with.
  struct Symbol {
    int32_t token;
    int32_t byte;
  };

  std::string_view bytes(int32_t id) const;
  void index_tokens();
  void index_merges(std::string_view source);
  void index_characters();
  void index_kept();
  void index_spaces();
  void index_words();
  static Word word_key(std::string_view bytes);
  size_t word_hash(const Word& key) const;
  size_t word_slot(const Word& key, size_t hash) const;
  Join join_of(int32_t left, int32_t right) const;
  Join join_of(const Symbol& left, const Symbol& right) const;
  size_t symbols(std::string_view word, Symbol* out) const;
  size_t byte_symbols(std::string_view word, Symbol* out) const;
  size_t character_symbols(std::string_view word, Symbol* out) const;
  int32_t character_token(std::string_view character, bool is_last) const;
  void cut_at_spaces(std::string_view text, std::span<const TextRange> words,
                     std::vector<TextRange>& parts) const;
  void encode_words(std::string_view text, std::span<const TextRange> words,
                    std::vector<int32_t>& ids) const;
  void merge_short(std::string_view word, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view word, std::vector<int32_t>& ids) const;
  void merge(std::string_view word, std::vector<int32_t>& ids) const;

  const TokenizerDefinition& definition_;
  std::array<int32_t, 256> byte_tokens_{};
  ByteFallback fallback_;
  PieceTrie kept_;  // TokenizerDefinition::kept
  /// No token of a character model goes on behind kSpaceSymbol: words end before it.
  bool ends_before_spaces_ = false;
  std::vector<int32_t> token_slots_;  // hash table of ids of tokens in the model
  PairMap<Join> joins_;
  std::vector<Join> byte_joins_;  // the same for pairs of bytes, by both
  CharacterStarts characters_;
  /// Tokens whose bytes, as a word, are encoded as that token: most words are looked up and done.
  std::vector<Word> word_slots_;  // a hash table
  uint64_t seed_ = seeded_hash("words");
};

}  // namespace millrace
