#include "millrace/text/character_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "millrace/text/unicode_additions.h"

namespace millrace {
namespace {

constexpr char32_t kCodePoints = 0x110000;

// The script, of which utf8proc knows nothing. (Unicode 16, Scripts.txt)
constexpr std::pair<char32_t, char32_t> kHanRanges[] = {
    {0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},
    {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},   {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
    {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739}, {0x2b740, 0x2b81d},
    {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
    {0x30000, 0x3134a}, {0x31350, 0x323af}};

uint8_t class_of(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kLetter | kUpper;
    case UTF8PROC_CATEGORY_LL:
      return kLetter | kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    default:
      return kOther;
  }
}

uint8_t class_of_added(std::string_view category) {
  if (category == "Lu") return kLetter | kUpper;
  if (category == "Ll") return kLetter | kLower;
  if (category.front() == 'L') return kLetter;
  if (category == "M") return kMark;
  return category == "N" ? kNumber : kOther;
}

/// Calls `visit(code point)` for the members of a character class as UnicodeAdditions has them.
template <typename Visit>
void for_each_member(std::string_view members, Visit visit) {
  uint32_t last = 0;
  bool is_range = false;
  while (!members.empty()) {
    if (members.front() == '-') {
      is_range = true;
      members.remove_prefix(1);
      continue;
    }
    members.remove_prefix(3);  // \x{
    uint32_t c = 0;
    const char* end = std::from_chars(members.data(), members.data() + members.size(), c, 16).ptr;
    members.remove_prefix(static_cast<size_t>(end - members.data()) + 1);
    for (uint32_t member = is_range ? last + 1 : c; member <= c; ++member) visit(member);
    last = c;
    is_range = false;
  }
}

}  // namespace

const CharacterClasses& CharacterClasses::instance() {
  static const CharacterClasses classes(false);
  return classes;
}

const CharacterClasses& CharacterClasses::with_han() {
  static const CharacterClasses classes(true);
  return classes;
}

CharacterClasses::CharacterClasses(bool knows_han) {
  std::vector<uint8_t> all(kCodePoints, kOther);
  auto ask = [&](char32_t first, char32_t end) {
    for (char32_t c = first; c < end; ++c) {
      all[c] = class_of(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
    }
  };
  ask(0, 0x40000);  // the other planes have no characters, or only for private use
  ask(0xe0000, 0xe1000);
  // General categories come first: those within them say more.
  for (size_t length : {1, 2}) {
    for (const UnicodeAdditions& entry : kUnicodeAdditions) {
      if (entry.category.size() != length || entry.category == "Nd") continue;
      for_each_member(entry.members, [&](uint32_t c) { all[c] = class_of_added(entry.category); });
    }
  }
  for (auto [first, last] :
       std::initializer_list<std::pair<char32_t, char32_t>>{{0x9, 0xd},
                                                            {0x20, 0x20},
                                                            {0x85, 0x85},
                                                            {0xa0, 0xa0},
                                                            {0x1680, 0x1680},
                                                            {0x2000, 0x200a},
                                                            {0x2028, 0x2029},
                                                            {0x202f, 0x202f},
                                                            {0x205f, 0x205f},
                                                            {0x3000, 0x3000}}) {
    for (char32_t c = first; c <= last; ++c) all[c] = kSpace;
  }
  for (char32_t c : {'\r', '\n'}) all[c] |= kLineEnd;
  if (knows_han) {
    for (auto [first, last] : kHanRanges) {
      for (char32_t c = first; c <= last; ++c) all[c] |= kHan;
    }
  }

  for (size_t block = 0; block < blocks_.size(); ++block) {
    const uint8_t* begin = all.data() + block * kBlock;
    if (block > 0 && std::equal(begin, begin + kBlock, begin - kBlock)) {
      blocks_[block] = blocks_[block - 1];
      continue;
    }
    size_t known = 0;
    while (known < classes_.size() && !std::equal(begin, begin + kBlock, &classes_[known])) {
      known += kBlock;
    }
    if (known == classes_.size()) classes_.insert(classes_.end(), begin, begin + kBlock);
    blocks_[block] = static_cast<uint16_t>(known);
  }
}

}  // namespace millrace
