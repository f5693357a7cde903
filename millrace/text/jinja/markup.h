// HTML escaping, and texts that are marked as needing none.
#pragma once

#include "millrace/text/jinja/value.h"

namespace millrace::jinja {

/// The text with & < > ' " as HTML entities, marked; a marked text is returned as it is.
Text escape(Budget& budget, const Text& text);
/// As escape, of str(value).
Text escape(Budget& budget, const Value& value);

/// a + b: when one of them is marked, the other is escaped first and the result is marked.
Text join_texts(Budget& budget, const Text& a, const Text& b);

}  // namespace millrace::jinja
