// What Python's string methods do, on texts that keep their origin: strip, case, replace, split.
// Filters and methods are both written with these.
#pragma once

#include <optional>
#include <vector>

#include "millrace/text/jinja/text.h"

namespace millrace::jinja {

/// Bytes [begin, end) of a text, with its markup flag.
Text cut(Budget& budget, const Text& text, size_t begin, size_t end);

/// Strips white space, or the characters of `set` when it is not null.
Text strip(Budget& budget, const Text& text, const Text* set, bool left, bool right);

enum class Case { kUpper, kLower, kCapitalize, kTitle, kSwap };
Text change_case(Budget& budget, const Text& text, Case to);

/// Replaces the first `count` places of `old`, all when it is negative.
Text replace(Budget& budget, const Text& text, const Text& old, const Text& replacement,
             int64_t count);

/// Splits at `separator`, at runs of white space when it is null; at most `max` times unless that
/// is negative, counted from the right when `from_right`. Throws Error for an empty separator.
std::vector<Text> split(Budget& budget, const Text& text, const Text* separator, int64_t max,
                        bool from_right);

/// Splits at line ends, which are kept when `keep_ends`.
std::vector<Text> split_lines(Budget& budget, const Text& text, bool keep_ends);

/// The last place of `part`, or npos.
size_t find_last(Budget& budget, const Text& text, const Text& part);

}  // namespace millrace::jinja
