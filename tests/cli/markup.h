// Whether every element of an SVG or HTML page is closed where it should be.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// What is wrong with the tags of a page; "" when nothing is.
std::string markup_fault(std::string_view text);

}  // namespace millrace
