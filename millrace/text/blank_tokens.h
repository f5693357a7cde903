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

/// What tokens that stand for hidden ones are called.
inline constexpr std::array<const char*, 3> kMaskNames = {"[MASK]", "<mask>", "<|mask|>"};

/// What they all are called in a tokenizer that is made for them.
inline constexpr std::array<const char*, 5> kBlankNames = {"[MASK]", "[sMASK]", "[gMASK]",
                                                           "<|startofpiece|>", "<|endofpiece|>"};

/// The token that stands for hidden ones; −1 where the tokenizer has none.
int32_t mask_token(const Tokenizer& tokenizer);

/// By the names that published models have for them; nullopt where the tokenizer has none.
std::optional<BlankTokens> blank_tokens(const Tokenizer& tokenizer);

}  // namespace millrace
