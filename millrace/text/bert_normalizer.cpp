#include "millrace/text/bert_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>

#include "millrace/text/bert_characters.h"
#include "millrace/text/normal_form.h"
#include "millrace/text/utf8.h"
#include "millrace/text/whitespace.h"

namespace millrace {
namespace {

// The last one begins late, as in the library that is followed.
constexpr CharacterRange kChinese[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                       {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f},
                                       {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};

bool contains(std::span<const CharacterRange> ranges, char32_t c) {
  auto after = std::partition_point(ranges.begin(), ranges.end(),
                                    [&](const CharacterRange& range) { return range.last < c; });
  return after != ranges.end() && after->first <= c;
}

/// The text with what `visit(character, its bytes, result)` makes of each character.
template <typename Visit>
std::string map_characters(std::string_view text, Visit visit) {
  return map_well_formed(text, [&](std::string_view part, std::string& result) {
    while (!part.empty()) {
      std::string_view bytes = first_character(part);
      visit(decode_utf8(bytes), bytes, result);
      part.remove_prefix(bytes.size());
    }
  });
}

std::string clean(std::string_view text) {
  return map_characters(text, [](char32_t c, std::string_view bytes, std::string& result) {
    if (c == 0xfffd || contains(kBertControls, c)) return;
    if (is_space(c)) {
      result += ' ';
    } else {
      result += bytes;
    }
  });
}

std::string separate_chinese(std::string_view text) {
  return map_characters(text, [](char32_t c, std::string_view bytes, std::string& result) {
    bool is_chinese = c >= 0x3400 && contains(kChinese, c);
    if (is_chinese) result += ' ';
    result += bytes;
    if (is_chinese) result += ' ';
  });
}

/// utf8proc 2.8 knows Unicode 15; the capitals that came with 16 and 17 follow it.
char32_t to_lower(char32_t c) {
  if (c >= 0x10d50 && c <= 0x10d65) return c + 0x20;
  if (c >= 0x16ea0 && c <= 0x16eb8) return c + 0x1b;
  switch (c) {
    case 0xa7cb:
      return 0x264;
    case 0xa7dc:
      return 0x19b;
    case 0x1c89:
    case 0xa7cc:
    case 0xa7ce:
    case 0xa7d2:
    case 0xa7d4:
    case 0xa7da:
      return c + 1;
    default:
      return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  }
}

}  // namespace

std::string lowercase(std::string_view text) {
  return map_characters(text, [](char32_t c, std::string_view, std::string& result) {
    constexpr char32_t kDottedI = 0x130;  // the only one whose small letter is two characters
    if (c < 0x80) {
      result += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (c == kDottedI) {
      result += "i\u0307";
    } else {
      append_utf8(result, to_lower(c));
    }
  });
}

std::string strip_accents(std::string_view text) {
  return map_characters(text, [](char32_t c, std::string_view bytes, std::string& result) {
    if (!contains(kCombiningMarks, c)) result += bytes;
  });
}

std::string normalize(const BertNormalizer& options, std::string_view text) {
  std::string result(text);
  if (options.clean_text) result = clean(result);
  if (options.handle_chinese_chars) result = separate_chinese(result);
  if (options.strip_accents) {
    result = map_characters(normalize(NormalForm::kNfd, result),
                            [](char32_t c, std::string_view bytes, std::string& out) {
                              if (c < 0x300 || !contains(kBertAccents, c)) out += bytes;
                            });
  }
  return options.lowercase ? lowercase(result) : result;
}

}  // namespace millrace
