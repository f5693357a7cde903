// Regular expressions, in the part of ECMA-262's syntax that is regular: no look-around, no
// back-references.
#pragma once

#include <string_view>

#include "millrace/generate/grammar/code_points.h"
#include "millrace/generate/grammar/grammar.h"

namespace millrace {

enum class Anchoring : uint8_t {
  whole,   // the text as a whole must match
  search,  // some part of it must, as in JSON Schema, but for ^ and $
};

/// The expression that matches what `regex` does; groups capture nothing, and lazy quantifiers are
/// greedy: what can be matched is the same. Throws Error that begins with `source` for one that is
/// malformed or not supported.
Expression parse_regex(std::string_view regex, std::string_view source, Anchoring anchoring,
                       Grammar& grammar, CharacterExpressions& characters);

/// Texts that match as a whole.
Grammar grammar_from_regex(std::string_view regex);

}  // namespace millrace
