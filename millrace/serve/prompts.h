// Texts of a request's body as token ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/text/tokenizer.h"

namespace millrace::serve {

/// A string, a list of strings, a list of token ids, or a list of such lists: one prompt each.
/// Throws ApiError 400 for anything else, for ids that are none and for more than 2,048 prompts.
std::vector<std::vector<int32_t>> read_prompts(const Json& value, const std::string& param,
                                               const Tokenizer& tokenizer);

/// Makes each prompt one of what stands before a gap and after it. Throws ApiError 400 when the
/// model's tokenizer has no tokens for that.
void add_suffix(std::vector<std::vector<int32_t>>& prompts, const std::string& suffix,
                const Tokenizer& tokenizer);

}  // namespace millrace::serve
