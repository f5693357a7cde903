// The tools of a request, as far as reading a model's calls needs to know them.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "millrace/base/json.h"

namespace millrace {

class OfferedTools {
 public:
  OfferedTools() = default;
  /// OpenAI's array of tools, or null. Entries that are no functions are passed over: a request is
  /// checked before it comes here.
  explicit OfferedTools(const Json& tools);

  bool empty() const { return parameters_.empty(); }
  bool has(std::string_view name) const { return parameters_.find(name) != parameters_.end(); }

  bool any_begins_with(std::string_view beginning) const;

  /// Whether a value that a model wrote without quotes is a string, whatever it looks like: what
  /// the schema of the parameter allows is nothing else.
  bool is_string(std::string_view tool, std::string_view parameter) const;
  /// JSON text for a value that a model wrote without quotes: JSON, or Python's way to write the
  /// same, where the parameter's schema allows such a value; else a string.
  std::string value(std::string_view tool, std::string_view parameter, std::string_view text) const;

 private:
  /// The schema of a parameter, or null.
  const Json& schema(std::string_view tool, std::string_view parameter) const;

  std::map<std::string, Json, std::less<>> parameters_;  // by name of the tool
};

/// The function object of an entry of `tools`; null if it has none.
const Json& tool_function(const Json& tool);

}  // namespace millrace
