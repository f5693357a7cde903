// Strings that a JSON Schema describes by pattern, length or format.
#pragma once

#include <string>

#include "millrace/base/json.h"
#include "millrace/generate/grammar/json_parts.h"

namespace millrace {

/// The string with its quotes. Throws Error that begins with the pointer.
Expression constrained_string(const Json& schema, const std::string& pointer, Grammar& grammar,
                              JsonParts& parts, CharacterExpressions& in_string);

}  // namespace millrace
