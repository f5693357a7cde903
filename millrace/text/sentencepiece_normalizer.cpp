#include "millrace/text/sentencepiece_normalizer.h"

#include <algorithm>

#include "millrace/text/utf8.h"

namespace millrace {
namespace {

struct Chunk {
  size_t length;  // in the text
  std::string_view replacement;
};

/// What the text begins with that changes as a whole.
Chunk next_chunk(const SentencePieceNormalizer& options, std::string_view text) {
  if (options.kept != nullptr) {
    PieceTrie::Match kept = options.kept->longest(text);
    if (kept.length > 0) return {kept.length, text.substr(0, kept.length)};
  }
  if (options.map != nullptr) {
    if (auto match = options.map->longest(text)) return {match->length, match->replacement};
  }
  size_t length = std::max<size_t>(1, utf8_length(text));
  return {length, text.substr(0, length)};
}

}  // namespace

std::string normalize(const SentencePieceNormalizer& options, std::string_view text) {
  if (options.remove_extra_whitespaces) {
    while (!text.empty()) {
      Chunk chunk = next_chunk(options, text);
      if (chunk.replacement != " ") break;
      text.remove_prefix(chunk.length);
    }
  }
  if (text.empty()) return {};
  std::string_view space = options.escape_whitespaces ? kSpaceSymbol : " ";
  std::string result;
  result.reserve(text.size() + text.size() / 2);
  if (options.add_dummy_prefix && !options.treat_whitespace_as_suffix) result += space;
  bool after_space = options.remove_extra_whitespaces;
  while (!text.empty()) {
    auto [length, part] = next_chunk(options, text);
    text.remove_prefix(length);
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    for (char c : part) {
      if (c == ' ') {
        result += space;
      } else {
        result += c;
      }
    }
    if (!part.empty()) after_space = options.remove_extra_whitespaces && part.ends_with(' ');
  }
  if (options.remove_extra_whitespaces) {
    while (std::string_view(result).ends_with(space)) result.resize(result.size() - space.size());
  }
  if (options.add_dummy_prefix && options.treat_whitespace_as_suffix) result += space;
  return result;
}

}  // namespace millrace
