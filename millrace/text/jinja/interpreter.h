// Runs a parsed template.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "millrace/text/jinja/ast.h"
#include "millrace/text/jinja/environment.h"

namespace millrace::jinja {

struct Rendering {
  Text text;
  /// Byte ranges [begin, end) that {% generation %} blocks wrote.
  std::vector<std::pair<size_t, size_t>> generated;
};

/// Renders a template with these variables; one that is named as a global function hides it. Throws
/// Error "<name>, line N: …".
Rendering render(const Body& body, std::string_view name, Environment& environment,
                 std::vector<std::pair<std::string, Value>> variables);

}  // namespace millrace::jinja
