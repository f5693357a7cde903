#include "millrace/base/error.h"

namespace millrace {

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 100;
  size_t length = text.size();
  if (length > kLongest) {
    length = kLongest;
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0u) == 0x80u) --length;
  }
  std::string result = "'";
  for (char c : text.substr(0, length)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + (length < text.size() ? "…'" : "'");
}

}  // namespace millrace
