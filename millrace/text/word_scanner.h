// Pre-tokenizers of well-known models as plain loops over the text instead of a regular expression.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "millrace/text/pattern.h"

namespace millrace {

/// Appends the words of a text, which must be UTF-8: the same as the expressions would find.
using WordScanner = void (*)(std::string_view text, std::vector<TextRange>& words);

/// What does the work of these expressions, each isolating its matches in the words that the one
/// before it made; nullptr where only a regular expression can.
WordScanner find_word_scanner(std::span<const std::string_view> expressions);

}  // namespace millrace
