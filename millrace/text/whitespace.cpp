#include "millrace/text/whitespace.h"

#include "millrace/text/utf8.h"

namespace millrace {

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

std::string_view without_leading_space(std::string_view text) {
  while (true) {
    std::string_view c = first_character(text);
    if (c.empty() || !is_space(decode_utf8(c))) return text;
    text.remove_prefix(c.size());
  }
}

std::string_view without_trailing_space(std::string_view text) {
  while (true) {
    std::string_view c = last_character(text);
    if (c.empty() || !is_space(decode_utf8(c))) return text;
    text.remove_suffix(c.size());
  }
}

}  // namespace millrace
