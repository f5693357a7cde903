#include "millrace/text/pattern_syntax.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/text/unicode_additions.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

// Oniguruma's \s is Unicode's White_Space; PCRE2's has U+180E besides.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff})"
    R"(\x{e000}-\x{10ffff})";
// Its \w: besides the categories, fractions and raised digits of Latin-1, and letters in circles.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}\x{24b6}-\x{24e9})"
    R"(\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189})";
constexpr std::string_view kHexDigit = "0-9A-Fa-f";

// Escapes that mean the same in both.
constexpr std::string_view kSameEscapes = "bBdDnrtfaeAzZkx0123456789";

std::string_view additions(std::string_view category) {
  for (const UnicodeAdditions& entry : kUnicodeAdditions) {
    if (entry.category == category) return entry.members;
  }
  return {};
}

/// To PCRE2, a script's bare name means its Script_Extensions. Of categories, the long names are
/// none of these.
bool is_script(std::string_view name) {
  constexpr std::string_view kScripts[] = {
      "Arabic",    "Armenian", "Bengali",  "Bopomofo", "Cyrillic", "Devanagari", "Ethiopic",
      "Georgian",  "Greek",    "Gujarati", "Gurmukhi", "Han",      "Hangul",     "Hebrew",
      "Hiragana",  "Kannada",  "Katakana", "Khmer",    "Lao",      "Latin",      "Malayalam",
      "Mongolian", "Myanmar",  "Oriya",    "Sinhala",  "Tamil",    "Telugu",     "Thai",
      "Tibetan",   "Yi",       "Common",   "Inherited"};
  return std::find(std::begin(kScripts), std::end(kScripts), name) != std::end(kScripts);
}

std::string word_characters() {
  return fmt::format("{}{}{}{}", kWord, additions("L"), additions("M"), additions("Nd"));
}

class Translation {
 public:
  Translation(std::string_view expression, std::string_view source)
      : in_(expression), source_(source) {}

  std::string run() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\':
          begin_atom();
          escape(false);
          break;
        case '[':
          begin_atom();
          character_class();
          break;
        case '(':
          open_group();
          break;
        case ')':
          close_group();
          break;
        case '{':
          counted_repeat();
          break;
        case '*':
        case '+':
        case '?':
        case '|':
          out_ += in_[at_++];
          break;
        default:
          begin_atom();
          copy_character();
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void unsupported(std::string_view what) const {
    fail("{}: regular expression {} uses {}, which is not supported", source_, quote(in_), what);
  }

  char next(size_t ahead = 1) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  void copy_character() {
    size_t length = utf8_length(in_.substr(at_));
    if (length == 0) unsupported("bytes that are not UTF-8");
    out_ += in_.substr(at_, length);
    at_ += length;
  }

  void begin_atom() { atom_ = out_.size(); }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += in_[at_++];
    if (at_ >= in_.size()) return;
    if (in_[at_] == '*') unsupported("(*");
    if (in_[at_] != '?') return;
    out_ += in_[at_++];
    std::string_view rest = in_.substr(at_);
    for (std::string_view same : {":", "=", "!", ">", "<=", "<!"}) {
      if (rest.starts_with(same)) {
        out_ += same;
        at_ += same.size();
        return;
      }
    }
    if (rest.starts_with('<')) return;  // a name, read as plain characters
    // Options: in Ruby's syntax m lets a dot match a line's end, which PCRE2 calls s.
    while (at_ < in_.size() && in_[at_] != ':' && in_[at_] != ')') {
      char option = in_[at_++];
      if (option != 'i' && option != 'x' && option != 'm' && option != '-') {
        unsupported("a group of this kind");
      }
      out_ += option == 'm' ? 's' : option;
    }
    if (at_ < in_.size() && in_[at_] == ':') out_ += in_[at_++];
  }

  void close_group() {
    if (!groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
    }
    out_ += in_[at_++];
  }

  /// {n,m}: Ruby lets n be absent, and reads a + after it as a repeat of the repeat.
  void counted_repeat() {
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isdigit(static_cast<unsigned char>(in_[end])) != 0 || in_[end] == ',')) {
      ++end;
    }
    if (end >= in_.size() || in_[end] != '}' || end == at_ + 1) {
      begin_atom();
      out_ += "\\{";
      ++at_;
      return;
    }
    out_ += next() == ',' ? "{0" : "{";
    out_ += in_.substr(at_ + 1, end - at_);
    at_ = end + 1;
    if (at_ < in_.size() && in_[at_] == '+') {
      out_.insert(atom_, "(?:");
      out_ += ')';
    }
  }

  /// One escape, outside of a character class or in one.
  void escape(bool in_class) {
    char letter = next();
    auto set = [&](std::string_view members, std::string_view others) {
      bool negative = std::isupper(static_cast<unsigned char>(letter)) != 0;
      if (!in_class) {
        out_ += negative ? "[^" : "[";
        out_ += members;
        out_ += ']';
      } else if (!negative) {
        out_ += members;
      } else if (!others.empty()) {
        out_ += others;
      } else {
        unsupported("this negated set in a character class");
      }
      at_ += 2;
    };
    switch (letter) {
      case 's':
      case 'S':
        return set(kSpace, kNotSpace);
      case 'w':
      case 'W':
        return set(word_characters(), {});
      case 'h':
      case 'H':
        return set(kHexDigit, {});
      case 'p':
      case 'P':
        return property(in_class);
      case 'u':
        return code_unit();
      case 'v':
        out_ += "\\x{b}";
        at_ += 2;
        return;
      default:
        break;
    }
    bool is_letter = std::isalnum(static_cast<unsigned char>(letter)) != 0;
    if (letter == '\0') unsupported("a backslash at its end");
    if (is_letter && kSameEscapes.find(letter) == std::string_view::npos) {
      unsupported(fmt::format("\\{}", letter));
    }
    out_ += '\\';
    ++at_;
    copy_character();
    if (letter == 'x') hexadecimal();
  }

  /// What follows \x. Two digits are a byte to Oniguruma and a character to PCRE2.
  void hexadecimal() {
    if (at_ < in_.size() && in_[at_] >= '8' && in_[at_] != '{') {
      unsupported("\\x with a byte above 7f");
    }
    if (at_ >= in_.size() || in_[at_] != '{') return;
    size_t end = in_.find('}', at_);
    if (end == std::string_view::npos) unsupported("\\x{ without }");
    out_ += in_.substr(at_, end + 1 - at_);
    at_ = end + 1;
  }

  void property(bool in_class) {
    size_t end = in_.find('}', at_);
    if (next(2) != '{' || end == std::string_view::npos) unsupported("\\p without {}");
    std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    bool negative = next() == 'P';
    if (name.starts_with('^')) {
      negative = !negative;
      name.remove_prefix(1);
    }
    std::string_view added = additions(name);
    if (!in_class) out_ += negative ? "[^" : "[";
    // In a class, the additions cannot be taken out of a negated property.
    out_ += fmt::format("\\{}{{{}{}}}", negative && in_class ? 'P' : 'p',
                        is_script(name) ? "sc:" : "", name);
    if (!(negative && in_class)) out_ += added;
    if (!in_class) out_ += ']';
    at_ = end + 1;
  }

  void code_unit() {
    std::string_view digits = in_.substr(std::min(at_ + 2, in_.size()), 4);
    for (char digit : digits) {
      if (std::isxdigit(static_cast<unsigned char>(digit)) == 0) digits = {};
    }
    if (digits.size() != 4) unsupported("\\u without four digits");
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ += 6;
  }

  /// [ab&&[^c]]: a look-ahead at the members so far, then the class that they are to be in too.
  void intersection(size_t begin) {
    at_ += 2;
    if (out_.compare(begin, 2, "[^") == 0 || next(0) != '[') unsupported("this && in a class");
    out_.insert(begin, "(?:(?=");
    out_ += "])";
    character_class();
    if (next(0) != ']') unsupported("this && in a class");
    ++at_;
    out_ += ')';
  }

  void character_class() {
    const size_t begin = out_.size();
    out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
    int depth = 1;  // a class within a class is a union, so its members just join the outer one's
    bool first = true;
    while (depth > 0) {
      if (at_ >= in_.size()) unsupported("a character class without its end");
      char c = in_[at_];
      if (c == ']' && !first) {
        --depth;
        ++at_;
        continue;
      }
      first = false;
      if (c == '[' && next() == ':') {
        size_t end = in_.find(":]", at_ + 2);
        if (end == std::string_view::npos) unsupported("[: without :]");
        out_ += in_.substr(at_, end + 2 - at_);
        at_ = end + 2;
      } else if (c == '[') {
        if (next() == '^') unsupported("a negated class within a class");
        ++depth;
        ++at_;
        first = true;
      } else if (c == '&' && next() == '&') {
        if (depth > 1) unsupported("&& in a class within a class");
        return intersection(begin);
      } else if (c == '\\') {
        escape(true);
      } else {
        copy_character();
      }
    }
    out_ += ']';
  }

  std::string_view in_;
  std::string_view source_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view expression, std::string_view source) {
  return Translation(expression, source).run();
}

std::string literal_expression(std::string_view text) {
  std::string expression;
  for (char c : text) {
    bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                    static_cast<unsigned char>(c) >= 0x80 ||
                    std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!is_plain) expression += '\\';
    expression += c;
  }
  return expression;
}

}  // namespace millrace
