#include "millrace/text/wordpiece.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

bool has_more_chars(std::string_view word, int64_t most) {
  int64_t count = 0;
  for (size_t at = 0; at < word.size(); ++count) {
    if (count == most) return true;
    at += std::max<size_t>(1, utf8_length(word.substr(at)));
  }
  return false;
}

}  // namespace

WordPiece::WordPiece(const TokenizerDefinition& definition, std::string_view source)
    : definition_(definition) {
  for (size_t i = 0; i < definition.tokens.size(); ++i) {
    const Token& token = definition.tokens[i];
    if (!token.in_model || token.bytes.empty()) continue;
    require(token.bytes.size() <= PieceTrie::kLongest, "{}: token {} has {} bytes; {} are allowed",
            source, i, token.bytes.size(), PieceTrie::kLongest);
    pieces_.add(token.bytes, static_cast<int32_t>(i));
  }
  continuing_ = pieces_.walk(definition.continuing_prefix);
}

void WordPiece::encode(std::string_view text, std::span<const TextRange> words,
                       std::vector<int32_t>& ids) const {
  for (const TextRange& range : words) {
    std::string_view word = text.substr(range.begin, range.end - range.begin);
    size_t before = ids.size();
    if (!has_more_chars(word, definition_.max_word_chars) && append_pieces(word, ids)) continue;
    ids.resize(before);
    if (definition_.unknown != kNoToken) ids.push_back(definition_.unknown);
  }
}

/// False where nothing fits.
bool WordPiece::append_pieces(std::string_view word, std::vector<int32_t>& ids) const {
  for (size_t at = 0; at < word.size();) {
    int32_t from = at == 0 ? 0 : continuing_;
    if (from == PieceTrie::kNone) return false;
    PieceTrie::Match match = pieces_.longest(word.substr(at), from);
    if (match.length == 0) return false;
    ids.push_back(match.value);
    at += match.length;
  }
  return true;
}

}  // namespace millrace
