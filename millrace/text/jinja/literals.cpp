#include "millrace/text/jinja/literals.h"

#include <charconv>
#include <cstdint>

#include "millrace/text/jinja/characters.h"

namespace millrace::jinja {
namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 36;
}

std::string_view trimmed(std::string_view text) {
  ByteRange range = strip_space(text, true, true);
  return text.substr(range.begin, range.end - range.begin);
}

/// Removes underscores that stand between digits; nullopt when one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || digit_value(text[i - 1]) == 36 ||
               digit_value(text[i + 1]) == 36) {
      return std::nullopt;
    }
  }
  return out;
}

/// Takes a sign off the front of `text`; true when it is a minus.
bool take_sign(std::string_view& text) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  return negative;
}

/// Takes 0x, 0o or 0b off the front when `base` allows it, and returns the base to use.
int take_prefix(std::string_view& text, int base) {
  if (text.size() < 3 || text[0] != '0') return base == 0 ? 10 : base;
  int of_prefix = 0;
  if ((text[1] | 0x20) == 'x') of_prefix = 16;
  if ((text[1] | 0x20) == 'o') of_prefix = 8;
  if ((text[1] | 0x20) == 'b') of_prefix = 2;
  if (of_prefix == 0 || (base != 0 && base != of_prefix)) return base == 0 ? 10 : base;
  text.remove_prefix(text[2] == '_' ? 3 : 2);
  return of_prefix;
}

std::optional<uint32_t> hex_code(std::string_view digits, size_t count) {
  if (digits.size() < count) return std::nullopt;
  uint32_t code = 0;
  for (char c : digits.substr(0, count)) {
    if (digit_value(c) >= 16) return std::nullopt;
    code = code * 16 + static_cast<uint32_t>(digit_value(c));
  }
  return code;
}

std::optional<char> simple_escape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return std::nullopt;
  }
}

/// Reads \xHH, \uHHHH or \UHHHHHHHH after its letter; a surrogate pair becomes one character.
/// Returns the bytes read after the letter, 0 when there are too few digits.
size_t read_hex_escape(std::string_view rest, char letter, uint32_t& code) {
  size_t count = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
  std::optional<uint32_t> first = hex_code(rest, count);
  if (!first || *first > 0x10FFFF) return 0;
  code = *first;
  if (code < 0xD800 || code > 0xDBFF || rest.substr(count, 2) != "\\u") return count;
  std::optional<uint32_t> second = hex_code(rest.substr(count + 2), 4);
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return count;
  code = 0x10000 + ((code - 0xD800) << 10) + (*second - 0xDC00);
  return count + 6;
}

}  // namespace

std::optional<Integer> parse_integer(std::string_view text, int base) {
  text = trimmed(text);
  bool negative = take_sign(text);
  base = take_prefix(text, base);
  std::optional<std::string> digits = without_underscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  Integer value = 0;
  for (char c : *digits) {
    int digit = digit_value(c);
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, Integer{base}, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, Integer{digit}, &value)) return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  text = trimmed(text);
  bool negative = take_sign(text);
  std::optional<std::string> digits = without_underscores(text);
  if (!digits || digits->empty() || digits->front() == '-') return std::nullopt;
  double value = 0;
  const char* end = digits->data() + digits->size();
  auto [stop, error] = std::from_chars(digits->data(), end, value);
  if (error == std::errc::invalid_argument || stop != end || digits->back() == ')') {
    return std::nullopt;
  }
  if (error == std::errc::result_out_of_range) value = std::strtod(digits->c_str(), nullptr);
  return negative ? -value : value;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '\\' || at + 1 >= text.size()) {
      out += text[at++];
      continue;
    }
    char letter = text[at + 1];
    at += 2;
    if (std::optional<char> simple = simple_escape(letter)) {
      out += *simple;
    } else if (letter == '\n') {
      continue;  // a line that goes on
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      uint32_t code = 0;
      size_t length = read_hex_escape(text.substr(at), letter, code);
      if (length == 0) return std::nullopt;
      append_utf8(out, code);
      at += length;
    } else if (letter >= '0' && letter <= '7') {
      uint32_t code = static_cast<uint32_t>(letter - '0');
      for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i) {
        code = code * 8 + static_cast<uint32_t>(text[at++] - '0');
      }
      append_utf8(out, code);
    } else {
      out += '\\';
      out += letter;
    }
  }
  return out;
}

}  // namespace millrace::jinja
