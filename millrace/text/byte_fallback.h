// The tokens of bytes (<0x0A>), which stand for characters that no piece has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "millrace/text/tokenizer_definition.h"

namespace millrace {

class ByteFallback {
 public:
  /// Has none where the definition's byte_fallback is not set.
  explicit ByteFallback(const TokenizerDefinition& definition) {
    tokens_.fill(kNoToken);
    if (!definition.byte_fallback) return;
    for (size_t i = 0; i < definition.tokens.size(); ++i) {
      const Token& token = definition.tokens[i];
      const int byte = token.type == TokenType::kByte ? byte_of_token(token.bytes) : -1;
      if (byte >= 0) tokens_[static_cast<size_t>(byte)] = static_cast<int32_t>(i);
    }
  }

  /// The token of a byte, or kNoToken.
  int32_t token(char byte) const { return tokens_[static_cast<uint8_t>(byte)]; }

  /// Whether each of the bytes has a token: otherwise they are unknown.
  bool covers(std::string_view bytes) const {
    return std::all_of(bytes.begin(), bytes.end(),
                       [this](char byte) { return token(byte) != kNoToken; });
  }

 private:
  std::array<int32_t, 256> tokens_;
};

}  // namespace millrace
