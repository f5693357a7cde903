#include "millrace/text/word_scanner.h"

#include <algorithm>
#include <array>

#include "millrace/text/character_class.h"
#include "millrace/text/pre_tokenizer_names.h"

namespace millrace {
namespace {

/// How the expressions of the models that are known here differ. All are lists of alternatives for
/// contractions ('s), words, numbers, other signs and space, and every character is matched.
struct WordRule {
  enum Contraction { kLowerCase, kAnyCase, kAfterWords };
  enum Word { kAfterSpace, kAfterSign, kCased };

  Contraction contraction = kAnyCase;
  bool has_contraction = true;
  /// What a word is: letters, after a space or after any sign; or split where capitals follow.
  Word word = kAfterSign;
  uint8_t letters = kLetter;
  uint8_t signs = kMark | kOther;
  /// Numbers are words of so many digits at most; 0 for any number.
  int digits = 1;
  /// Numbers were cut out before the rest was looked at, which ends a run of spaces.
  bool digits_first = false;
  /// Line ends (and slashes) right after other signs belong to them.
  bool signs_take_line_ends = true;
  bool signs_take_slashes = false;
  /// Characters of the script Han are words by themselves, as many as there are.
  bool splits_han = false;
};

constexpr WordRule kGpt2 = {.contraction = WordRule::kLowerCase,
                            .word = WordRule::kAfterSpace,
                            .digits = 0,
                            .signs_take_line_ends = false};
constexpr WordRule kSmollm = {.contraction = WordRule::kLowerCase,
                              .word = WordRule::kAfterSpace,
                              .digits_first = true,
                              .signs_take_line_ends = false};
constexpr WordRule kLlama3 = {.digits = 3};
constexpr WordRule kQwen2 = {};
constexpr WordRule kQwen35 = {.letters = kLetter | kMark, .signs = kOther};
constexpr WordRule kSeedCoder = {.signs_take_line_ends = false};
constexpr WordRule kTekken = {
    .has_contraction = false, .word = WordRule::kCased, .signs_take_slashes = true};
constexpr WordRule kGpt4o = {.contraction = WordRule::kAfterWords,
                             .word = WordRule::kCased,
                             .digits = 3,
                             .signs_take_slashes = true};
constexpr WordRule kKimi = {.contraction = WordRule::kAfterWords,
                            .word = WordRule::kCased,
                            .digits = 3,
                            .splits_han = true};

/// A text and the classes of its characters. Positions are those of first bytes.
class Scan {
 public:
  Scan(std::string_view text, const CharacterClasses& classes)
      : text_(text), end_(text.size()), classes_(classes) {}

  size_t end() const { return end_; }
  char byte(size_t at) const { return text_[at]; }

  struct Character {
    uint8_t classes;
    size_t next;  // where the character after it begins
  };

  Character at(size_t i) const {
    auto first = static_cast<uint8_t>(text_[i]);
    if (first < 0x80) return {classes_.of_ascii(first), i + 1};
    if (first < 0xe0) return {classes_.of((first & 0x1fu) << 6 | low(i + 1)), i + 2};
    if (first < 0xf0) {
      return {classes_.of((first & 0xfu) << 12 | low(i + 1) << 6 | low(i + 2)), i + 3};
    }
    return {classes_.of((first & 7u) << 18 | low(i + 1) << 12 | low(i + 2) << 6 | low(i + 3)),
            i + 4};
  }

  bool is(size_t i, uint8_t classes) const { return i < end_ && (at(i).classes & classes) != 0; }

  /// Where characters of these classes end.
  size_t run(size_t i, uint8_t classes) const {
    while (i < end_) {
      Character c = at(i);
      if ((c.classes & classes) == 0) break;
      i = c.next;
    }
    return i;
  }

  size_t han_end(size_t i) const {
    while (i < end_) {
      Character c = at(i);
      if ((c.classes & kHan) != kHan) break;
      i = c.next;
    }
    return i;
  }

 private:
  uint32_t low(size_t i) const { return static_cast<uint8_t>(text_[i]) & 0x3f; }

  std::string_view text_;
  size_t end_;
  const CharacterClasses& classes_;
};

char lower_case(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// Where 's, 't, 're, 've, 'm, 'll or 'd ends that begins at `at`; `at` where there is none.
template <bool any_case>
size_t contraction_end(const Scan& scan, size_t at) {
  if (at + 1 >= scan.end() || scan.byte(at) != '\'') return at;
  auto letter = [&](size_t i) {
    if (i >= scan.end()) return '\0';
    return any_case ? lower_case(scan.byte(i)) : scan.byte(i);
  };
  char first = letter(at + 1), second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
  if (first == 'l' && second == 'l') return at + 3;
  // The long s is another s where case does not count.
  if (any_case && first == '\xc5' && second == '\xbf') return at + 3;
  return at;
}

/// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ or else the same with the + at the
/// first class, from `begin`; `begin` where neither matches. Letters that have no case, and marks,
/// belong to both; those of kHan, where it is known, to neither.
template <bool ends_small>
size_t cased_word_end(const Scan& scan, size_t begin) {
  size_t capitals = begin;
  size_t last_of_both = begin, after_both = begin;
  while (capitals < scan.end()) {
    Scan::Character c = scan.at(capitals);
    if ((c.classes & (kLetter | kMark)) == 0 || (c.classes & kLower) != 0) break;
    if ((c.classes & kUpper) == 0) {
      last_of_both = capitals;
      after_both = c.next;
    }
    capitals = c.next;
  }
  size_t end = capitals;
  while (end < scan.end()) {
    Scan::Character c = scan.at(end);
    if ((c.classes & (kLetter | kMark)) == 0 || (c.classes & kUpper) != 0) break;
    end = c.next;
  }
  if (!ends_small || end > capitals) return end;
  // Nothing small follows: the last letter that may be small too takes its place.
  return after_both > last_of_both ? after_both : begin;
}

template <WordRule rule>
size_t cased_end(const Scan& scan, size_t begin, Scan::Character first) {
  bool may_precede = (first.classes & (kLetter | kNumber | kLineEnd)) == 0;
  size_t end = begin;
  if (may_precede) {
    end = cased_word_end<true>(scan, first.next);
    if (end == first.next) end = begin;
  }
  if (end == begin) end = cased_word_end<true>(scan, begin);
  if (end == begin && may_precede) {
    end = cased_word_end<false>(scan, first.next);
    if (end == first.next) end = begin;
  }
  if (end == begin) end = cased_word_end<false>(scan, begin);
  if (end > begin && rule.has_contraction) end = contraction_end<true>(scan, end);
  return end;
}

/// Where a word of letters ends; `begin` where there is none.
template <WordRule rule>
size_t letters_end(const Scan& scan, size_t begin, Scan::Character first) {
  if constexpr (rule.word == WordRule::kCased) return cased_end<rule>(scan, begin, first);
  if ((first.classes & rule.letters) != 0) return scan.run(first.next, rule.letters);
  bool may_precede = rule.word == WordRule::kAfterSpace
                         ? scan.byte(begin) == ' '
                         : (first.classes & (kNumber | kLineEnd)) == 0;
  if (!may_precede || !scan.is(first.next, rule.letters)) return begin;
  return scan.run(first.next, rule.letters);
}

template <WordRule rule>
size_t digits_end(const Scan& scan, size_t begin) {
  if (rule.digits == 0) return scan.run(begin, kNumber);
  size_t end = begin;
  for (int i = 0; i < rule.digits && scan.is(end, kNumber); ++i) end = scan.at(end).next;
  return end;
}

template <WordRule rule>
size_t signs_end(const Scan& scan, size_t begin) {
  size_t end = scan.run(begin, rule.signs);
  if (!rule.signs_take_line_ends) return end;
  while (end < scan.end() && (scan.byte(end) == '\r' || scan.byte(end) == '\n' ||
                              (rule.signs_take_slashes && scan.byte(end) == '/'))) {
    ++end;
  }
  return end;
}

/// Space up to its last line end; else all of it before the end of the text; else all but the last
/// one, which is left to the word that follows, unless it is the only one.
template <WordRule rule>
size_t space_end(const Scan& scan, size_t begin) {
  size_t end = begin, last = begin, after_line = begin;
  while (end < scan.end()) {
    Scan::Character c = scan.at(end);
    if ((c.classes & kSpace) == 0) break;
    last = end;
    end = c.next;
    if ((c.classes & kLineEnd) != 0) after_line = end;
  }
  if (rule.word != WordRule::kAfterSpace && after_line > begin) return after_line;
  if (end == scan.end() || (rule.digits_first && scan.is(end, kNumber))) return end;
  return last > begin ? last : end;
}

template <WordRule rule>
size_t word_end(const Scan& scan, size_t begin) {
  if constexpr (rule.has_contraction && rule.contraction != WordRule::kAfterWords) {
    constexpr bool kAny = rule.contraction == WordRule::kAnyCase;
    size_t end = contraction_end<kAny>(scan, begin);
    if (end > begin) return end;
  }
  if constexpr (rule.splits_han) {
    size_t end = scan.han_end(begin);
    if (end > begin) return end;
  }
  Scan::Character first = scan.at(begin);
  size_t end = letters_end<rule>(scan, begin, first);
  if (end > begin) return end;
  bool after_space = scan.byte(begin) == ' ';
  if constexpr (rule.word == WordRule::kAfterSpace && !rule.digits_first) {
    if (after_space && scan.is(first.next, kNumber)) return digits_end<rule>(scan, first.next);
  }
  if ((first.classes & kNumber) != 0) return digits_end<rule>(scan, begin);
  if ((first.classes & rule.signs) != 0) return signs_end<rule>(scan, begin);
  if (after_space && scan.is(first.next, rule.signs)) return signs_end<rule>(scan, first.next);
  return space_end<rule>(scan, begin);
}

template <WordRule rule>
void scan_words(std::string_view text, std::vector<TextRange>& words) {
  const Scan scan(text,
                  rule.splits_han ? CharacterClasses::with_han() : CharacterClasses::instance());
  for (size_t begin = 0; begin < text.size();) {
    size_t end = word_end<rule>(scan, begin);
    words.push_back({begin, end});
    begin = end;
  }
}

struct NamedScanner {
  std::string_view pre_tokenizer;
  WordScanner scanner;
};
constexpr std::array<NamedScanner, 10> kScanners = {{
    {"gpt-2", scan_words<kGpt2>},
    {"smollm", scan_words<kSmollm>},
    {"llama-bpe", scan_words<kLlama3>},
    {"qwen2", scan_words<kQwen2>},
    {"qwen35", scan_words<kQwen35>},
    {"seed-coder", scan_words<kSeedCoder>},
    {"bailingmoe", scan_words<kQwen2>},
    {"tekken", scan_words<kTekken>},
    {"gpt-4o", scan_words<kGpt4o>},
    {"kimi-k2", scan_words<kKimi>},
}};

}  // namespace

WordScanner find_word_scanner(std::span<const std::string_view> expressions) {
  for (const NamedScanner& entry : kScanners) {
    std::span<const std::string_view> known =
        find_named_pre_tokenizer(entry.pre_tokenizer)->expressions;
    if (std::equal(known.begin(), known.end(), expressions.begin(), expressions.end())) {
      return entry.scanner;
    }
  }
  return nullptr;
}

}  // namespace millrace
