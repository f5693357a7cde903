// Grammars in GBNF, the notation of llama.cpp.
#pragma once

#include <string_view>

#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// Texts that the rule `root` matches. Rules are `name ::= …` with literals, characters classes,
/// `.`, groups, alternatives, `* + ? {m} {m,} {m,n}`, tokens by id as `<[1000]>`, and comments
/// after #. Throws Error that names the line for what is malformed.
Grammar grammar_from_gbnf(std::string_view text);

}  // namespace millrace
