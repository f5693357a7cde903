#include "millrace/text/blank_tokens.h"

#include <initializer_list>

namespace millrace {
namespace {

/// The first of these tokens that there is; −1: none.
int32_t first_token(const Tokenizer& tokenizer, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const int32_t id = tokenizer.token_id(name); id >= 0) return id;
  }
  return -1;
}

}  // namespace

std::optional<BlankTokens> blank_tokens(const Tokenizer& tokenizer) {
  BlankTokens tokens{first_token(tokenizer, {"[MASK]", "<mask>", "<|mask|>"}),
                     tokenizer.token_id("[sMASK]"), tokenizer.token_id("[gMASK]"),
                     first_token(tokenizer, {"<|startofpiece|>", "<sop>"}),
                     first_token(tokenizer, {"<|endofpiece|>", "<eop>"})};
  if (tokens.mask < 0 || tokens.start < 0 || tokens.end < 0) return std::nullopt;
  if (tokens.sentence_mask < 0) tokens.sentence_mask = tokens.mask;
  if (tokens.document_mask < 0) tokens.document_mask = tokens.mask;
  return tokens;
}

}  // namespace millrace
