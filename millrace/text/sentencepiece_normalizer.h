// How SentencePiece prepares text: a character map, what becomes of spaces, and symbols that stay
// as they are. https://github.com/google/sentencepiece (src/normalizer.cc)
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "millrace/text/piece_trie.h"
#include "millrace/text/precompiled_map.h"

namespace millrace {

/// What SentencePiece writes for a space: U+2581.
inline constexpr std::string_view kSpaceSymbol = "\u2581";

struct SentencePieceNormalizer {
  std::shared_ptr<const PrecompiledMap> map;  // null: characters stay
  std::shared_ptr<const PieceTrie> kept;      // symbols that nothing changes, or null
  bool add_dummy_prefix = true;               // a space before the text
  bool remove_extra_whitespaces = false;      // of neighbouring spaces one stays, of outer none
  bool escape_whitespaces = true;             // spaces become kSpaceSymbol
  bool treat_whitespace_as_suffix = false;    // the dummy stands after the text
};

/// Bytes that are not UTF-8 stay as they are.
std::string normalize(const SentencePieceNormalizer& options, std::string_view text);

}  // namespace millrace
