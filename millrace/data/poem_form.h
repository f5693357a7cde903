// Chinese verse as a shape: its lines, and the regular forms by number and length of lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A regular form: so many lines of so many characters.
struct PoemForm {
  std::string_view name;  // "五言绝句"
  int64_t num_lines;
  int64_t line_length;
};

/// 五言绝句, 七言绝句, 五言律诗, 七言律诗.
std::span<const PoemForm> poem_forms();

/// The form of that name, or nullptr.
const PoemForm* find_poem_form(std::string_view name);

/// The characters of a text; a byte that is not UTF-8 stands alone.
std::vector<std::string_view> characters_of(std::string_view text);

/// The lines of a poem: the runs between the marks ，。？！；：、 and white space, without them.
/// A couplet "白日依山尽，黄河入海流。" has two.
std::vector<std::string_view> poem_lines(std::string_view text);

/// Whether a character is a Han ideograph.
bool is_han(std::string_view character);

}  // namespace millrace
