// Values as Python writes them, which some models do in calls: {'a': True, "b": (1, None)}.
#pragma once

#include <optional>
#include <string_view>

#include "millrace/base/json.h"

namespace millrace {

/// The value of a literal, which is the whole text: None, True, False (JSON's words too), numbers,
/// strings in either quotes with escapes, lists, tuples, dicts with keys that are strings. Nothing
/// for any other text, and for values nested deeper than 100.
std::optional<Json> python_literal(std::string_view text);

/// Where a literal ends that is followed by a comma or a closing bracket. A byte at a time.
class PythonLiteralEnd {
 public:
  /// Whether the byte is the first after the value.
  bool step(char byte);
  bool in_string() const { return quote_ != '\0'; }

 private:
  int depth_ = 0;
  char quote_ = '\0';  // of the string around here
  bool escaped_ = false;
};

}  // namespace millrace
