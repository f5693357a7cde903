// The tokens by which GLM marks blanks and fills them (Du et al. 2022).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "millrace/text/tokenizer.h"

namespace millrace {

struct BlankTokens {
  int32_t mask;                          ///< of words
  int32_t sentence_mask, document_mask;  ///< of sentences, of a text's end; else `mask`
  int32_t start, end;                    ///< between which a blank is filled

  bool is_mask(int32_t id) const {
    return id == mask || id == sentence_mask || id == document_mask;
  }
};

/// What they are called in a tokenizer that is made for them.
inline constexpr std::array<const char*, 5> kBlankNames = {"[MASK]", "[sMASK]", "[gMASK]",
                                                           "<|startofpiece|>", "<|endofpiece|>"};

/// By the names that published models have for them; nullopt where the tokenizer has none.
std::optional<BlankTokens> blank_tokens(const Tokenizer& tokenizer);

}  // namespace millrace
