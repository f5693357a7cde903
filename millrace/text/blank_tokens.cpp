#include "millrace/text/blank_tokens.h"

#include <span>

namespace millrace {
namespace {

constexpr const char* kStarts[] = {"<|startofpiece|>", "<sop>"};
constexpr const char* kEnds[] = {"<|endofpiece|>", "<eop>"};

/// The first of these tokens that there is; −1: none.
int32_t first_token(const Tokenizer& tokenizer, std::span<const char* const> names) {
  for (const char* name : names) {
    if (const int32_t id = tokenizer.token_id(name); id >= 0) return id;
  }
  return -1;
}

}  // namespace

int32_t mask_token(const Tokenizer& tokenizer) {
  return first_token(tokenizer, kMaskNames);
}

std::optional<BlankTokens> blank_tokens(const Tokenizer& tokenizer) {
  BlankTokens tokens{mask_token(tokenizer), tokenizer.token_id("[sMASK]"),
                     tokenizer.token_id("[gMASK]"), first_token(tokenizer, kStarts),
                     first_token(tokenizer, kEnds)};
  if (tokens.mask < 0 || tokens.start < 0 || tokens.end < 0) return std::nullopt;
  if (tokens.sentence_mask < 0) tokens.sentence_mask = tokens.mask;
  if (tokens.document_mask < 0) tokens.document_mask = tokens.mask;
  return tokens;
}

}  // namespace millrace
