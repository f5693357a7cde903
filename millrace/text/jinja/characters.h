// Characters as Python's str knows them: UTF-8 code points with their classes and case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::jinja {

struct Character {
  uint32_t code;
  uint32_t length;  ///< bytes, at least 1
};

/// The character that begins at byte `at` < text.size(). A byte that is not UTF-8 is a character of
/// its own, U+FFFD, one byte long.
Character character_at(std::string_view text, size_t at);

/// The byte where the character that ends before byte `end` > 0 begins.
size_t character_before(std::string_view text, size_t end);

size_t count_characters(std::string_view text);

/// The byte at which character number `index` begins; text.size() when there are not so many.
size_t byte_of_character(std::string_view text, size_t index);

void append_utf8(std::string& out, uint32_t code);

/// Calls visit(code, bytes of the character) for each character.
template <typename Visit>
void for_each_character(std::string_view text, Visit&& visit) {
  for (size_t at = 0; at < text.size();) {
    Character character = character_at(text, at);
    visit(character.code, text.substr(at, character.length));
    at += character.length;
  }
}

bool is_space(uint32_t code);       ///< str.isspace and the \s of regular expressions
bool is_line_end(uint32_t code);    ///< where str.splitlines splits
bool is_alphabetic(uint32_t code);  ///< str.isalpha
bool is_decimal(uint32_t code);     ///< str.isdecimal
bool is_numeric(uint32_t code);     ///< str.isnumeric
bool is_upper(uint32_t code);
bool is_lower(uint32_t code);
bool is_printable(uint32_t code);  ///< shown by repr as itself

/// Case mappings of single characters, appended to `out` (Unicode's simple mappings, and ß → SS).
void append_upper(std::string& out, uint32_t code);
void append_lower(std::string& out, uint32_t code);
void append_title(std::string& out, uint32_t code);

/// The first place at or after `from` where `part` stands, or npos. Linear in time whatever the
/// bytes are, which std::string_view::find is not.
size_t find_bytes(std::string_view text, std::string_view part, size_t from = 0);

/// The text without white space at its ends, as [begin, end).
struct ByteRange {
  size_t begin;
  size_t end;
};
ByteRange strip_space(std::string_view text, bool left, bool right);

}  // namespace millrace::jinja
