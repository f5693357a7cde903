// Values as text, as Python's str() and repr() write them.
#pragma once

#include <string>
#include <string_view>

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

/// Digits of the shortest decimal that reads back as `number`, as repr(float) writes them.
std::string float_text(double number);
std::string integer_text(Integer number);

/// Appends str(value): strings as they are, nothing for Undefined, "None", "True", "[1, 'a']", …
void append_str(Budget& budget, TextBuilder& out, const Value& value);
/// Appends repr(value): strings in quotes.
void append_repr(Budget& budget, TextBuilder& out, const Value& value);

Text str(Budget& budget, const Value& value);
/// As str, but a text keeps its markup flag (markupsafe's soft_str).
Text soft_str(Budget& budget, const Value& value);

}  // namespace millrace::jinja
