// Several JSON Schemas that must hold at once, as one.
#pragma once

#include <string>

#include "millrace/base/json.h"

namespace millrace {

/// Whether the keyword says nothing of what is valid (`title`, `description`, …).
bool is_annotation(const std::string& keyword);

/// A schema for what both allow. Both are objects; neither has $ref or allOf. Throws Error that
/// begins with the pointer for keywords whose meanings cannot be joined.
Json merge_schemas(const Json& a, const Json& b, const std::string& pointer);

}  // namespace millrace
