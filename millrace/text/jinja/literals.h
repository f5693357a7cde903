// Numbers and strings as Python writes them in source: parsing of literals and of int() and
// float().
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "millrace/text/jinja/lexer.h"

namespace millrace::jinja {

/// As Python's int(text, base): sign, underscores between digits, white space around. Base 0 takes
/// 0x, 0o and 0b prefixes. nullopt when it is not a number or does not fit.
std::optional<Integer> parse_integer(std::string_view text, int base);

/// As Python's float(text).
std::optional<double> parse_float(std::string_view text);

/// The value of a string literal's inside: \n, \xHH, \uHHHH, octal and so on become characters; an
/// unknown escape stays. nullopt when an escape is cut short.
std::optional<std::string> unescape(std::string_view text);

}  // namespace millrace::jinja
