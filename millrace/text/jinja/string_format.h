// Python's two ways to fill in a string: "%s" % values and "{}".format(values).
#pragma once

#include "millrace/text/jinja/environment.h"

namespace millrace::jinja {

/// format % values; `values` is a tuple, a dict for %(name)s, or the single value.
Value format_percent(Budget& budget, const Text& format, const Value& values);

/// format.format(arguments): {}, {0}, {name}, {name.member[key]!r:>10}, {{ and }}.
Value format_braces(Environment& environment, const Text& format, const Arguments& arguments);

}  // namespace millrace::jinja
