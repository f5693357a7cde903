#include "millrace/text/jinja/characters.h"

#include <string.h>
#include <utf8proc.h>

namespace millrace::jinja {
namespace {

constexpr uint32_t kSharpS = 0xDF;

utf8proc_category_t category(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

}  // namespace

Character character_at(std::string_view text, size_t at) {
  auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {byte, 1};
  utf8proc_int32_t code = 0;
  utf8proc_ssize_t length =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                       static_cast<utf8proc_ssize_t>(text.size() - at), &code);
  if (length <= 0) return {0xFFFD, 1};
  return {static_cast<uint32_t>(code), static_cast<uint32_t>(length)};
}

size_t character_before(std::string_view text, size_t end) {
  auto is_continuation = [&](size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && is_continuation(begin)) --begin;
  bool whole = begin + character_at(text.substr(0, end), begin).length == end;
  return whole ? begin : end - 1;
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for_each_character(text, [&](uint32_t, std::string_view) { ++count; });
  return count;
}

size_t byte_of_character(std::string_view text, size_t index) {
  size_t at = 0;
  while (index > 0 && at < text.size()) {
    at += character_at(text, at).length;
    --index;
  }
  return at;
}

void append_utf8(std::string& out, uint32_t code) {
  utf8proc_uint8_t bytes[4];
  bool valid = utf8proc_codepoint_valid(static_cast<utf8proc_int32_t>(code));
  utf8proc_ssize_t length =
      utf8proc_encode_char(valid ? static_cast<utf8proc_int32_t>(code) : 0xFFFD, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

bool is_space(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);
  return code == 0x85 || category(code) == UTF8PROC_CATEGORY_ZS ||
         category(code) == UTF8PROC_CATEGORY_ZL || category(code) == UTF8PROC_CATEGORY_ZP;
}

bool is_line_end(uint32_t code) {
  return (code >= 10 && code <= 13) || (code >= 28 && code <= 30) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

bool is_alphabetic(uint32_t code) {
  utf8proc_category_t kind = category(code);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(uint32_t code) {
  return category(code) == UTF8PROC_CATEGORY_ND;
}

bool is_numeric(uint32_t code) {
  utf8proc_category_t kind = category(code);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_NO;
}

bool is_upper(uint32_t code) {
  return utf8proc_isupper(static_cast<utf8proc_int32_t>(code));
}

bool is_lower(uint32_t code) {
  return utf8proc_islower(static_cast<utf8proc_int32_t>(code));
}

bool is_printable(uint32_t code) {
  if (code == ' ') return true;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

void append_upper(std::string& out, uint32_t code) {
  if (code == kSharpS) {
    out += "SS";
  } else {
    append_utf8(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))));
  }
}

void append_lower(std::string& out, uint32_t code) {
  append_utf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
}

void append_title(std::string& out, uint32_t code) {
  if (code == kSharpS) {
    out += "Ss";
  } else {
    append_utf8(out, static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code))));
  }
}

size_t find_bytes(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

ByteRange strip_space(std::string_view text, bool left, bool right) {
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    Character character = character_at(text, begin);
    if (!is_space(character.code)) break;
    begin += character.length;
  }
  while (right && begin < end) {
    size_t last = character_before(text, end);
    if (!is_space(character_at(text, last).code)) break;
    end = last;
  }
  return {begin, end};
}

}  // namespace millrace::jinja
