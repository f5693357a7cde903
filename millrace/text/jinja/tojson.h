// Values as JSON text, as Python's json.dumps writes it.
#pragma once

#include <optional>
#include <string>

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

/// json.dumps's options, with transformers' default of ensure_ascii=False.
struct JsonStyle {
  std::optional<Text> indent;  ///< what one level is indented by; nullopt: all on one line
  Text item_separator{", ", Origin::kTemplate};
  Text key_separator{": ", Origin::kTemplate};
  bool ensure_ascii = false;
  bool sort_keys = false;
};

/// Throws Error for values that JSON has no form for. Punctuation is the template's, the contents
/// of strings keep their origin.
Text to_json(Budget& budget, const Value& value, const JsonStyle& style);

/// The filter tojson(ensure_ascii, indent, separators, sort_keys).
Value tojson_filter(Budget& budget, const Value& value, const Arguments& arguments);

}  // namespace millrace::jinja
