// The tokens by which models fill in a middle (Bavarian et al. 2022).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "millrace/text/tokenizer.h"

namespace millrace {

/// The tokens before a prefix, a suffix and a middle.
struct InfillTokens {
  int32_t prefix, suffix, middle;
};

/// What they are called in a tokenizer that is made for them.
inline constexpr std::array<const char*, 3> kInfillNames = {"<|fim_prefix|>", "<|fim_suffix|>",
                                                            "<|fim_middle|>"};

/// By the names that published models have for them; nullopt where the tokenizer has none.
std::optional<InfillTokens> infill_tokens(const Tokenizer& tokenizer);

}  // namespace millrace
