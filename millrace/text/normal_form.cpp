#include "millrace/text/normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

bool composes(NormalForm form) {
  return form == NormalForm::kNfc || form == NormalForm::kNfkc;
}

bool is_compatible(NormalForm form) {
  return form == NormalForm::kNfkc || form == NormalForm::kNfkd;
}

/// Whether a character is its own NFC whatever stands beside it. Says no to some for which that
/// holds too; those only take the longer way.
bool is_plain(char32_t c) {
  return c < 0x300 || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x3001 && c <= 0x3098) || (c >= 0x309b && c <= 0x30ff) ||
         (c >= 0xff00 && c <= 0xffef) || (c >= 0x2010 && c <= 0x203f) ||
         (c >= 0x1f300 && c <= 0x1faff);
}

bool is_plain(std::string_view text) {
  while (!text.empty()) {
    size_t length = utf8_length(text);
    if (!is_plain(decode_utf8(text.substr(0, length)))) return false;
    text.remove_prefix(length);
  }
  return true;
}

int combining_class(utf8proc_int32_t c) {
  return static_cast<int>(utf8proc_get_property(c)->combining_class);
}

std::vector<utf8proc_int32_t> decompose(std::string_view text, bool compatible) {
  // No character decomposes into more than 18 (U+FDFA).
  constexpr int kLongest = 32;
  auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> result;
  result.reserve(text.size());
  while (!text.empty()) {
    size_t length = utf8_length(text);
    auto c = static_cast<utf8proc_int32_t>(decode_utf8(text.substr(0, length)));
    std::array<utf8proc_int32_t, kLongest> parts;
    int boundary = 0;
    auto count = utf8proc_decompose_char(c, parts.data(), kLongest, options, &boundary);
    require(count >= 0 && count <= kLongest, "character U+{:04X} cannot be decomposed", c);
    result.insert(result.end(), parts.begin(), parts.begin() + count);
    text.remove_prefix(length);
  }
  return result;
}

/// The canonical order of combining marks. utf8proc's own sorts by exchanging neighbours, which
/// takes time quadratic in a run's length.
void order_marks(std::vector<utf8proc_int32_t>& text) {
  auto begin = text.begin();
  while (begin != text.end()) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    auto end = std::find_if(begin, text.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

void append_normalized(NormalForm form, std::string_view text, std::string& result) {
  if (form == NormalForm::kNfc && is_plain(text)) {
    result += text;
    return;
  }
  std::vector<utf8proc_int32_t> characters = decompose(text, is_compatible(form));
  order_marks(characters);
  if (composes(form)) {
    auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    auto count = utf8proc_normalize_utf32(
        characters.data(), static_cast<utf8proc_ssize_t>(characters.size()), options);
    characters.resize(static_cast<size_t>(count));
  }
  for (utf8proc_int32_t c : characters) append_utf8(result, static_cast<char32_t>(c));
}

}  // namespace

std::string normalize(NormalForm form, std::string_view text) {
  return map_well_formed(text, [&](std::string_view part, std::string& result) {
    append_normalized(form, part, result);
  });
}

}  // namespace millrace
