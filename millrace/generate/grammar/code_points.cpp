#include "millrace/generate/grammar/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <bit>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr char32_t kLast = 0x10ffff;

struct Category {
  std::string_view name;
  std::string_view long_name;
  std::vector<utf8proc_category_t> members;
};

const std::vector<Category>& categories() {
  static const std::vector<Category> all = [] {
    std::vector<Category> list = {
        {"Lu", "Uppercase_Letter", {UTF8PROC_CATEGORY_LU}},
        {"Ll", "Lowercase_Letter", {UTF8PROC_CATEGORY_LL}},
        {"Lt", "Titlecase_Letter", {UTF8PROC_CATEGORY_LT}},
        {"Lm", "Modifier_Letter", {UTF8PROC_CATEGORY_LM}},
        {"Lo", "Other_Letter", {UTF8PROC_CATEGORY_LO}},
        {"Mn", "Nonspacing_Mark", {UTF8PROC_CATEGORY_MN}},
        {"Mc", "Spacing_Mark", {UTF8PROC_CATEGORY_MC}},
        {"Me", "Enclosing_Mark", {UTF8PROC_CATEGORY_ME}},
        {"Nd", "Decimal_Number", {UTF8PROC_CATEGORY_ND}},
        {"Nl", "Letter_Number", {UTF8PROC_CATEGORY_NL}},
        {"No", "Other_Number", {UTF8PROC_CATEGORY_NO}},
        {"Pc", "Connector_Punctuation", {UTF8PROC_CATEGORY_PC}},
        {"Pd", "Dash_Punctuation", {UTF8PROC_CATEGORY_PD}},
        {"Ps", "Open_Punctuation", {UTF8PROC_CATEGORY_PS}},
        {"Pe", "Close_Punctuation", {UTF8PROC_CATEGORY_PE}},
        {"Pi", "Initial_Punctuation", {UTF8PROC_CATEGORY_PI}},
        {"Pf", "Final_Punctuation", {UTF8PROC_CATEGORY_PF}},
        {"Po", "Other_Punctuation", {UTF8PROC_CATEGORY_PO}},
        {"Sm", "Math_Symbol", {UTF8PROC_CATEGORY_SM}},
        {"Sc", "Currency_Symbol", {UTF8PROC_CATEGORY_SC}},
        {"Sk", "Modifier_Symbol", {UTF8PROC_CATEGORY_SK}},
        {"So", "Other_Symbol", {UTF8PROC_CATEGORY_SO}},
        {"Zs", "Space_Separator", {UTF8PROC_CATEGORY_ZS}},
        {"Zl", "Line_Separator", {UTF8PROC_CATEGORY_ZL}},
        {"Zp", "Paragraph_Separator", {UTF8PROC_CATEGORY_ZP}},
        {"Cc", "Control", {UTF8PROC_CATEGORY_CC}},
        {"Cf", "Format", {UTF8PROC_CATEGORY_CF}},
        {"Cn", "Unassigned", {UTF8PROC_CATEGORY_CN}},
        {"Co", "Private_Use", {UTF8PROC_CATEGORY_CO}},
    };
    const std::pair<std::string_view, std::string_view> groups[] = {
        {"L", "Letter"}, {"M", "Mark"},      {"N", "Number"}, {"P", "Punctuation"},
        {"S", "Symbol"}, {"Z", "Separator"}, {"C", "Other"}};
    const size_t single = list.size();
    for (auto [name, long_name] : groups) {
      Category group{name, long_name, {}};
      for (size_t i = 0; i < single; ++i) {
        if (list[i].name.front() == name.front()) group.members.push_back(list[i].members[0]);
      }
      list.push_back(std::move(group));
    }
    return list;
  }();
  return all;
}

}  // namespace

CodePointSet::CodePointSet(std::initializer_list<CodePointRange> ranges) : ranges_(ranges) {
  normalize();
}

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) {
  normalize();
}

CodePointSet CodePointSet::any() {
  return {{0, kLast}};
}

void CodePointSet::add(char32_t first, char32_t last) {
  ranges_.push_back({first, last});
  normalize();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalize();
}

void CodePointSet::normalize() {
  std::vector<CodePointRange> parts;
  for (auto [first, last] : ranges_) {
    if (first < 0xd800) parts.push_back({first, std::min<char32_t>(last, 0xd7ff)});
    if (last > 0xdfff) parts.push_back({std::max<char32_t>(first, 0xe000), std::min(last, kLast)});
  }
  std::sort(parts.begin(), parts.end());
  ranges_.clear();
  for (const CodePointRange& part : parts) {
    if (part.first > part.last) continue;
    if (!ranges_.empty() && part.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, part.last);
    } else {
      ranges_.push_back(part);
    }
  }
}

CodePointSet CodePointSet::inverted() const {
  CodePointSet result;
  char32_t next = 0;
  for (auto [first, last] : ranges_) {
    if (first > next) result.ranges_.push_back({next, first - 1});
    next = last + 1;
  }
  if (next <= kLast) result.ranges_.push_back({next, kLast});
  result.normalize();
  return result;
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
  CodePointSet outside = inverted();
  outside.add(other);
  return outside.inverted();
}

bool CodePointSet::contains(char32_t c) const {
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), c,
                                [](char32_t x, const CodePointRange& r) { return x < r.first; });
  return after != ranges_.begin() && std::prev(after)->last >= c;
}

CodePointSet digits() {
  return {{'0', '9'}};
}

CodePointSet word_characters() {
  return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
}

CodePointSet white_space() {
  return {{0x9, 0xd},       {0x20, 0x20},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
          {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
}

CodePointSet line_ends() {
  return {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
}

CodePointSet unicode_property(std::string_view name) {
  if (name == "Any") return CodePointSet::any();
  if (name == "ASCII") return {{0, 0x7f}};
  for (std::string_view prefix : {"gc=", "General_Category="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  for (const Category& category : categories()) {
    if (name != category.name && name != category.long_name) continue;
    std::vector<CodePointRange> ranges;
    for (char32_t c = 0; c <= kLast; ++c) {
      const utf8proc_category_t of = utf8proc_category(static_cast<utf8proc_int32_t>(c));
      if (std::find(category.members.begin(), category.members.end(), of) ==
          category.members.end()) {
        continue;
      }
      if (ranges.empty() || ranges.back().last + 1 != c) ranges.push_back({c, c});
      ranges.back().last = c;
    }
    return CodePointSet(std::move(ranges));
  }
  fail("the Unicode property {} is not supported: general categories are (\\p{{L}}, \\p{{Nd}}, …)",
       quote(name));
}

CharacterExpressions::Cover CharacterExpressions::cover(const CodePointSet& set, char32_t first,
                                                        char32_t last) {
  auto at = std::lower_bound(set.ranges().begin(), set.ranges().end(), first,
                             [](const CodePointRange& r, char32_t c) { return r.last < c; });
  if (at == set.ranges().end() || at->first > last) return Cover::none;
  return at->first <= first && at->last >= last ? Cover::all : Cover::some;
}

/// The last `bytes` bytes of the characters of a set from `base` on.
Expression CharacterExpressions::continuation(const CodePointSet& set, uint32_t bytes,
                                              char32_t base) {
  const uint32_t shift = 6 * (bytes - 1);
  if (bytes == 1) {
    ByteSet last;
    for (char32_t i = 0; i < 64; ++i) {
      const auto byte = static_cast<uint8_t>(0x80 + i);
      if (set.contains(base + i)) last.add(byte, byte);
    }
    const std::vector<std::pair<Expression, uint64_t>> key = {{UINT32_MAX, last.words[2]}};
    auto found = groups_.find(key);
    return found != groups_.end() ? found->second
                                  : groups_.emplace(key, grammar_.bytes(last)).first->second;
  }
  std::map<Expression, uint64_t> members;  // of the first byte, by what follows it
  Expression full = UINT32_MAX;
  for (char32_t i = 0; i < 64; ++i) {
    const char32_t first = base + (i << shift);
    const Cover covered = cover(set, first, first + (char32_t{1} << shift) - 1);
    if (covered == Cover::none) continue;
    Expression rest = full;
    if (covered == Cover::some || full == UINT32_MAX) rest = continuation(set, bytes - 1, first);
    if (covered == Cover::all) full = rest;
    members[rest] |= uint64_t{1} << i;
  }
  const std::vector<std::pair<Expression, uint64_t>> key(members.begin(), members.end());
  if (auto found = groups_.find(key); found != groups_.end()) return found->second;
  std::vector<Expression> ways;
  for (auto [rest, bits] : key) {
    ByteSet byte;
    byte.words[2] = bits;
    ways.push_back(grammar_.sequence({grammar_.bytes(byte), rest}));
  }
  return groups_.emplace(key, grammar_.choice(ways)).first->second;
}

Expression CharacterExpressions::utf8(const CodePointSet& set) {
  std::vector<Expression> ways;
  ByteSet ascii;
  for (auto [first, last] : set.ranges()) {
    if (first < 0x80) {
      ascii.add(static_cast<uint8_t>(first), static_cast<uint8_t>(std::min<char32_t>(last, 0x7f)));
    }
  }
  if (!ascii.empty()) ways.push_back(grammar_.bytes(ascii));
  std::map<Expression, ByteSet> leads;  // by what follows them
  // `mark` is what the first byte of a character with so many more bytes has besides its bits.
  auto add_leads = [&](uint32_t mark, uint32_t bits, uint32_t bytes, char32_t shortest) {
    const CodePointSet long_enough = set.without({{0, shortest - 1}});
    for (char32_t i = 0; i < bits; ++i) {
      const char32_t base = i << (6 * bytes);
      const char32_t last = base + (char32_t{1} << (6 * bytes)) - 1;
      if (cover(long_enough, base, last) == Cover::none) continue;
      const auto lead = static_cast<uint8_t>(mark + i);
      leads[continuation(long_enough, bytes, base)].add(lead, lead);
    }
  };
  add_leads(0xc0, 32, 1, 0x80);
  add_leads(0xe0, 16, 2, 0x800);
  add_leads(0xf0, 5, 3, 0x10000);
  for (const auto& [rest, lead] : leads) {
    ways.push_back(grammar_.sequence({grammar_.bytes(lead), rest}));
  }
  return grammar_.choice(ways);
}

/// Quotes, backslashes and control characters are escaped, in the way that writers of JSON do it;
/// others stand for themselves.
Expression CharacterExpressions::json_string(const CodePointSet& set) {
  constexpr std::string_view kShort = "\"\"\\\\b\bf\fn\nr\rt\t";  // letter, character
  const CodePointSet escaped = {{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
  std::vector<Expression> ways;
  const CodePointSet plain = set.without(escaped);
  if (!plain.empty()) ways.push_back(utf8(plain));
  ByteSet letters, hex[2];
  for (size_t i = 0; i < kShort.size(); i += 2) {
    const auto letter = static_cast<uint8_t>(kShort[i]);
    if (set.contains(static_cast<uint8_t>(kShort[i + 1]))) letters.add(letter, letter);
  }
  for (uint32_t c = 0; c < 0x20; ++c) {
    const bool is_short = (c >= 8 && c <= 13 && c != 11);
    if (!set.contains(c) || is_short) continue;
    const auto digit = static_cast<uint8_t>("0123456789abcdef"[c % 16]);
    hex[c / 16].add(digit, digit);
  }
  std::vector<Expression> escapes;
  if (!letters.empty()) escapes.push_back(grammar_.bytes(letters));
  for (size_t high = 0; high < 2; ++high) {
    if (hex[high].empty()) continue;
    escapes.push_back(grammar_.sequence(
        {grammar_.literal(high == 0 ? "u000" : "u001"), grammar_.bytes(hex[high])}));
  }
  if (!escapes.empty()) {
    ways.push_back(grammar_.sequence({grammar_.literal("\\"), grammar_.choice(escapes)}));
  }
  return grammar_.choice(ways);
}

Expression CharacterExpressions::one_of(const CodePointSet& set) {
  auto [found, added] = known_.emplace(set.ranges(), 0);
  if (added) found->second = encoding_ == TextEncoding::utf8 ? utf8(set) : json_string(set);
  return found->second;
}

Expression CharacterExpressions::text(std::string_view utf8) {
  if (encoding_ == TextEncoding::utf8) return grammar_.literal(utf8);
  std::vector<Expression> characters;
  while (!utf8.empty()) {
    const size_t length = utf8_length(utf8);
    const char32_t c = decode_utf8(utf8.substr(0, length));
    characters.push_back(one_of({{c, c}}));
    utf8.remove_prefix(length);
  }
  return grammar_.sequence(characters);
}

}  // namespace millrace
