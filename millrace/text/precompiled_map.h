// SentencePiece's precompiled character maps: which characters become which text. A double array
// (Aoe 1989; Darts-clone's layout) leads from the bytes of one or more characters to a place among
// the replacements, each ended by a zero.
// https://github.com/google/sentencepiece/doc/normalization.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

class PrecompiledMap {
 public:
  /// Reads the blob: the size of the array in bytes, the array, the replacements. Throws Error that
  /// begins with `source` for a malformed one.
  PrecompiledMap(std::string blob, std::string_view source);

  struct Match {
    size_t length = 0;  // of the text that is replaced, in bytes
    std::string_view replacement;
  };
  /// What the longest entry that `text` begins with becomes.
  std::optional<Match> longest(std::string_view text) const;

  /// The text as Hugging Face's tokenizers map it: grapheme by grapheme. One of fewer than six
  /// bytes becomes what the shortest entry that it begins with does; of others each character by
  /// itself. Bytes that are not UTF-8 stay.
  std::string normalize_graphemes(std::string_view text) const;

  const std::string& blob() const { return blob_; }

 private:
  template <typename Visit>
  void for_each_prefix(std::string_view text, Visit visit) const;
  std::optional<std::string_view> shortest(std::string_view text) const;
  std::string_view replacement(uint32_t offset) const;
  void append_grapheme(std::string_view grapheme, std::string& result) const;

  std::string blob_;
  std::vector<uint32_t> units_;
  size_t replacements_ = 0;  // where they begin in blob_
};

}  // namespace millrace
