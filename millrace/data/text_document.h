// A page of text as token ids, all scored: what pre-training learns from.
#pragma once

#include <string_view>

#include "millrace/data/token_dataset.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

/// The tokenizer's own prefix, the text, in which special tokens stay text, and the end-of-text
/// token.
Document text_document(std::string_view text, const Tokenizer& tokenizer);

}  // namespace millrace
