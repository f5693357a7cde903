// What the files of others have in common: definitions from their contents, and tokens as they
// write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Reads a tokenizer.json and a tokenizer_config.json (or null); see Tokenizer::from_json.
TokenizerDefinition tokenizer_definition_from_json(const Json& tokenizer, const Json& config,
                                                   std::string_view source);

/// Adds what a tokenizer_config.json (or null) says to a tokenizer from a file of another kind:
/// added tokens, the ids of bos and others by name, and which of them are put around a text.
TokenizerDefinition with_tokenizer_config(TokenizerDefinition definition, const Json& config,
                                          std::string_view source);

/// The token as tokenizer.json and GGUF write it: GPT-2's symbols for bytes that merges lead to,
/// pieces and the contents of added tokens as they are.
std::string token_text(const TokenizerDefinition& definition, int32_t id);

}  // namespace millrace
