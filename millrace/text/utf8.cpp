#include "millrace/text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace millrace {
namespace {

uint8_t byte_at(std::string_view text, size_t i) {
  return static_cast<uint8_t>(text[i]);
}

bool is_continuation(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

/// Length that a first byte asks for; 0 for a byte that begins no character.
size_t wanted_length(uint8_t first) {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/// Whether `second` may follow `first`, which asks for more bytes.
bool may_follow(uint8_t first, uint8_t second) {
  switch (first) {
    case 0xe0:
      return second >= 0xa0 && second <= 0xbf;
    case 0xed:
      return second >= 0x80 && second <= 0x9f;
    case 0xf0:
      return second >= 0x90 && second <= 0xbf;
    case 0xf4:
      return second >= 0x80 && second <= 0x8f;
    default:
      return is_continuation(second);
  }
}

/// Bytes of `text` that agree with a character's beginning, up to its whole length.
size_t agreeing_length(std::string_view text, size_t wanted) {
  size_t length = std::min(wanted, text.size());
  if (length >= 2 && !may_follow(byte_at(text, 0), byte_at(text, 1))) return 1;
  for (size_t i = 2; i < length; ++i) {
    if (!is_continuation(byte_at(text, i))) return i;
  }
  return length;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  size_t wanted = wanted_length(byte_at(text, 0));
  return wanted > 0 && agreeing_length(text, wanted) == wanted ? wanted : 0;
}

size_t utf8_invalid_length(std::string_view text) {
  return std::max<size_t>(1, agreeing_length(text, wanted_length(byte_at(text, 0))));
}

size_t utf8_incomplete_length(std::string_view text) {
  for (size_t length = std::min<size_t>(3, text.size()); length > 0; --length) {
    std::string_view end = text.substr(text.size() - length);
    size_t wanted = wanted_length(byte_at(end, 0));
    if (wanted > length && agreeing_length(end, wanted) == length) return length;
  }
  return 0;
}

size_t utf8_valid_prefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    uint64_t eight;
    if (position + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + position, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        position += sizeof(eight);
        continue;
      }
    }
    size_t length = utf8_length(text.substr(position));
    if (length == 0) return position;
    position += length;
  }
  return position;
}

std::string_view first_character(std::string_view text) {
  return text.substr(0, utf8_length(text));
}

std::string_view last_character(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(4, text.size()); ++length) {
    std::string_view end = text.substr(text.size() - length);
    if (utf8_length(end) == length) return end;
  }
  return {};
}

char32_t decode_utf8(std::string_view character) {
  uint8_t first = byte_at(character, 0);
  if (character.size() == 1) return first;
  char32_t value = first & (0x7f >> character.size());
  for (size_t i = 1; i < character.size(); ++i) value = value << 6 | (byte_at(character, i) & 0x3f);
  return value;
}

void append_utf8(std::string& text, char32_t code_point) {
  auto tail = [&](int shift) {
    text.push_back(static_cast<char>(0x80 | (code_point >> shift & 0x3f)));
  };
  if (code_point < 0x80) {
    text.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text.push_back(static_cast<char>(0xc0 | code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    text.push_back(static_cast<char>(0xe0 | code_point >> 12));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xf0 | code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    size_t valid = utf8_valid_prefix(text);
    result += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) break;
    append_utf8(result, 0xfffd);
    text.remove_prefix(utf8_invalid_length(text));
  }
  return result;
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string result;
  size_t at = 0;
  for (size_t found; (found = text.find(pattern, at)) != std::string_view::npos;) {
    result.append(text.substr(at, found - at)).append(content);
    at = found + pattern.size();
  }
  return result.append(text.substr(at));
}

}  // namespace millrace
