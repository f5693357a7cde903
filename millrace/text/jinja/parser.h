// Template source to syntax tree, by the grammar of Jinja 3.1 without its tags that reach for files
// (include, import, extends, block).
#pragma once

#include <string_view>

#include "millrace/text/jinja/ast.h"

namespace millrace::jinja {

/// Throws Error "<name>, line N: …" when the source is not a template. Nesting and the size of one
/// expression are bounded.
Body parse(std::string_view source, std::string_view name);

}  // namespace millrace::jinja
