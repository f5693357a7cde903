// The longest piece that a word begins with, then the longest that the rest begins with, and so on
// (Schuster and Nakajima 2012; BERT, Devlin et al. 2018).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/text/pattern.h"
#include "millrace/text/piece_trie.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Immutable, so any number of threads may encode at once.
class WordPiece {
 public:
  /// `definition` must outlive this. Throws Error that begins with `source` for a piece that is too
  /// long.
  WordPiece(const TokenizerDefinition& definition, std::string_view source);

  /// Appends the tokens of words of a text, which may be any bytes. A word that is not made of
  /// pieces, or has too many characters, is unknown as a whole. Takes time linear in the words,
  /// times the longest piece.
  void encode(std::string_view text, std::span<const TextRange> words,
              std::vector<int32_t>& ids) const;

  /// The token of the model with these bytes, or kNoToken.
  int32_t find(std::string_view bytes) const { return pieces_.find(bytes); }

 private:
  bool append_pieces(std::string_view word, std::vector<int32_t>& ids) const;

  const TokenizerDefinition& definition_;
  PieceTrie pieces_;
  int32_t continuing_ = PieceTrie::kNone;  // the node of the pieces within a word
};

}  // namespace millrace
