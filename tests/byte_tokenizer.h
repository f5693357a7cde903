// A tokenizer whose tokens are the 256 bytes and special tokens, ChatML's unless others are named.
#pragma once

#include <string>
#include <vector>

#include "millrace/text/tokenizer.h"

namespace millrace {

inline constexpr int32_t kEndOfText = 256;
inline constexpr int32_t kImStart = 257;
inline constexpr int32_t kImEnd = 258;

inline Tokenizer byte_tokenizer(const std::vector<std::string>& special = {
                                    "<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte) {
    definition.tokens.push_back(
        {std::string(1, static_cast<char>(byte)), TokenType::kNormal, true});
  }
  for (const std::string& content : special) {
    auto id = static_cast<int32_t>(definition.tokens.size());
    definition.tokens.push_back({content, TokenType::kControl, false});
    AddedToken added;
    added.id = id;
    added.content = content;
    added.special = true;
    definition.added_tokens.push_back(added);
  }
  definition.pre_tokenizer = PreTokenizer::named("qwen2", "test");
  definition.eos = kEndOfText;
  if (special.size() > 2) definition.eot = kImEnd;
  return Tokenizer(std::move(definition), "test");
}

}  // namespace millrace
