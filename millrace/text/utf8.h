// UTF-8: what is well formed, where a character ends, and what stands in for bytes that are not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

/// Bytes of the well-formed character that `text` begins with: 1 to 4, or 0 when there is none.
/// (Unicode 16, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.)
size_t utf8_length(std::string_view text);

/// Where `text` does not begin with a well-formed character: the bytes, 1 to 3, that a decoder
/// replaces by one U+FFFD ("maximal subpart", as Python, Rust and browsers do).
size_t utf8_invalid_length(std::string_view text);

/// Bytes at the end of `text`, 0 to 3, that begin a character which further bytes may complete.
size_t utf8_incomplete_length(std::string_view text);

/// Bytes of the longest well-formed prefix.
size_t utf8_valid_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) {
  return utf8_valid_prefix(text) == text.size();
}

/// The well-formed character that `text` begins with, or ends with; empty when there is none.
std::string_view first_character(std::string_view text);
std::string_view last_character(std::string_view text);

/// The code point of a well-formed character.
char32_t decode_utf8(std::string_view character);
void append_utf8(std::string& text, char32_t code_point);

/// The text with U+FFFD in the place of what is not well formed.
std::string replace_invalid_utf8(std::string_view text);

/// The text with `content` in the place of each `pattern`, which is not empty.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

/// The text with what `append(part, result)` makes of its well-formed parts, between which other
/// bytes stay as they are.
template <typename Append>
std::string map_well_formed(std::string_view text, Append append) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const size_t valid = utf8_valid_prefix(text);
    append(text.substr(0, valid), result);
    text.remove_prefix(valid);
    if (text.empty()) return result;
    const size_t invalid = utf8_invalid_length(text);
    result += text.substr(0, invalid);
    text.remove_prefix(invalid);
  }
}

}  // namespace millrace
