// Spaces at the ends of text: what Unicode calls White_Space.
#pragma once

#include <string_view>

namespace millrace {

bool is_space(char32_t c);

std::string_view without_leading_space(std::string_view text);
std::string_view without_trailing_space(std::string_view text);

}  // namespace millrace
