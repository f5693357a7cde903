#include "millrace/text/byte_symbols.h"

#include <array>
#include <cstdint>

#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

/// Printable Latin-1 stands for itself; the 68 other bytes, in order, are U+0100 and following.
struct Alphabet {
  std::array<char32_t, 256> symbol{};
  std::array<int16_t, 0x144> byte{};

  constexpr Alphabet() {
    for (int16_t& entry : byte) entry = -1;
    int others = 0;
    for (int value = 0; value < 256; ++value) {
      int code_point = stands_for_itself(value) ? value : 256 + others++;
      symbol[static_cast<size_t>(value)] = static_cast<char32_t>(code_point);
      byte[static_cast<size_t>(code_point)] = static_cast<int16_t>(value);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

std::string bytes_to_symbols(std::string_view bytes) {
  std::string symbols;
  for (char byte : bytes) append_utf8(symbols, kAlphabet.symbol[static_cast<uint8_t>(byte)]);
  return symbols;
}

std::optional<std::string> symbols_to_bytes(std::string_view symbols) {
  std::string bytes;
  while (!symbols.empty()) {
    size_t length = utf8_length(symbols);
    if (length == 0) return std::nullopt;
    char32_t symbol = decode_utf8(symbols.substr(0, length));
    if (symbol >= kAlphabet.byte.size() || kAlphabet.byte[symbol] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte[symbol]));
    symbols.remove_prefix(length);
  }
  return bytes;
}

}  // namespace millrace
