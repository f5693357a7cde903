#include "millrace/text/infill_tokens.h"

namespace millrace {
namespace {

constexpr std::array<const char*, 3> kNames[] = {
    kInfillNames,
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},
};

}  // namespace

std::optional<InfillTokens> infill_tokens(const Tokenizer& tokenizer) {
  for (const auto& names : kNames) {
    const InfillTokens tokens{tokenizer.token_id(names[0]), tokenizer.token_id(names[1]),
                              tokenizer.token_id(names[2])};
    if (tokens.prefix >= 0 && tokens.suffix >= 0 && tokens.middle >= 0) return tokens;
  }
  return std::nullopt;
}

}  // namespace millrace
