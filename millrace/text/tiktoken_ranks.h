// tiktoken's ranks (OpenAI; Qwen's first version, GLM-4, Kimi): a token a line, as base64, and its
// rank. Of neighbouring parts of a word, those that make the token of the lowest rank are joined.
#pragma once

#include <string_view>

#include "millrace/base/json.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// Whether a file's content looks like ranks.
bool is_tiktoken_ranks(std::string_view content);

/// Reads ranks, which are the tokens' ids. Words are those of the model that `config` (a
/// tokenizer_config.json or null) or else `file_name` names: QWenTokenizer (*.tiktoken),
/// TikTokenTokenizer (Kimi's; tiktoken.model), otherwise GLM-4's, which are also Llama 3's. Qwen's
/// and Kimi's code names special tokens that no file does; these are added. Throws Error that
/// begins with `source` for a malformed file.
TokenizerDefinition tiktoken_definition(std::string_view content, std::string_view file_name,
                                        const Json& config, std::string_view source);

}  // namespace millrace
