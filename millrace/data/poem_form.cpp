#include "millrace/data/poem_form.h"

#include <algorithm>
#include <array>

#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr std::array<PoemForm, 4> kForms = {{
    {"五言绝句", 4, 5},
    {"七言绝句", 4, 7},
    {"五言律诗", 8, 5},
    {"七言律诗", 8, 7},
}};

bool ends_line(std::string_view character) {
  constexpr std::array<std::string_view, 12> kMarks = {"，", "。", "？", "！", "；", "：",
                                                       "、", " ",  "\n", "\r", "\t", "　"};
  return std::ranges::find(kMarks, character) != kMarks.end();
}

}  // namespace

std::span<const PoemForm> poem_forms() {
  return kForms;
}

const PoemForm* find_poem_form(std::string_view name) {
  auto found = std::ranges::find(kForms, name, &PoemForm::name);
  return found == kForms.end() ? nullptr : &*found;
}

std::vector<std::string_view> characters_of(std::string_view text) {
  std::vector<std::string_view> characters;
  while (!text.empty()) {
    size_t length = std::max<size_t>(utf8_length(text), 1);
    characters.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return characters;
}

std::vector<std::string_view> poem_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  const char* begin = nullptr;  // of the line that is being read
  for (std::string_view character : characters_of(text)) {
    if (!ends_line(character)) {
      if (begin == nullptr) begin = character.data();
    } else if (begin != nullptr) {
      lines.emplace_back(begin, static_cast<size_t>(character.data() - begin));
      begin = nullptr;
    }
  }
  if (begin != nullptr) {
    lines.emplace_back(begin, static_cast<size_t>(text.data() + text.size() - begin));
  }
  return lines;
}

bool is_han(std::string_view character) {
  if (utf8_length(character) != character.size() || character.empty()) return false;
  char32_t c = decode_utf8(character);
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x323AF) || (c >= 0xF900 && c <= 0xFAFF) || c == 0x3007;
}

}  // namespace millrace
