#include "millrace/generate/grammar/regex.h"

#include <optional>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr size_t kMaxLength = 50'000;
constexpr uint32_t kMaxCount = 100'000;
constexpr int kMaxNesting = 200;

class RegexParser {
 public:
  RegexParser(std::string_view regex, std::string_view source, Anchoring anchoring,
              Grammar& grammar, CharacterExpressions& characters)
      : in_(regex),
        source_(source),
        anchoring_(anchoring),
        grammar_(grammar),
        characters_(characters) {}

  Expression parse() {
    require(in_.size() <= kMaxLength, "{}: the regular expression has {} bytes, more than {}",
            source_, in_.size(), kMaxLength);
    require(is_utf8(in_), "{}: the regular expression is not UTF-8", source_);
    std::vector<Expression> ways;
    do {
      ways.push_back(top_alternative());
    } while (take('|'));
    if (at_ < in_.size()) bad("has a ')' too many");
    return grammar_.choice(ways);
  }

 private:
  [[noreturn]] void bad(std::string_view what) const {
    fail("{}: regular expression {} {} (at byte {})", source_, quote(in_), what, at_);
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    bad(fmt::format("uses {}, which is not supported", what));
  }

  bool at_end() const { return at_ >= in_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool take(char c) {
    if (at_end() || in_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view text) {
    if (!in_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_character() {
    if (at_end()) bad("ends too early");
    const size_t length = utf8_length(in_.substr(at_));
    at_ += length;
    return decode_utf8(in_.substr(at_ - length, length));
  }

  Expression anything() {
    return grammar_.repeat(characters_.one_of(CodePointSet::any()), 0, kUnbounded);
  }

  Expression top_alternative() {
    const bool begins = take('^');
    const Expression middle = alternative();
    const bool ends = take('$');
    if (!at_end() && peek() != '|' && peek() != ')') unsupported("'$' within the expression");
    if (anchoring_ == Anchoring::whole || (begins && ends)) return middle;
    std::vector<Expression> parts;
    if (!begins) parts.push_back(anything());
    parts.push_back(middle);
    if (!ends) parts.push_back(anything());
    return grammar_.sequence(parts);
  }

  Expression alternatives() {
    std::vector<Expression> ways;
    do {
      ways.push_back(alternative());
    } while (take('|'));
    return grammar_.choice(ways);
  }

  /// Up to '|', ')', '$' or the end.
  Expression alternative() {
    std::vector<Expression> parts;
    std::string plain;  // characters that stand for themselves, not yet in `parts`
    auto flush = [&] {
      if (!plain.empty()) parts.push_back(characters_.text(plain));
      plain.clear();
    };
    while (!at_end() && peek() != '|' && peek() != ')' && peek() != '$') {
      std::optional<char32_t> single;
      const Expression one = atom(single);
      if (!single.has_value() || is_quantifier()) {
        flush();
        parts.push_back(
            quantified(single.has_value() ? characters_.one_of({{*single, *single}}) : one));
      } else {
        append_utf8(plain, *single);
      }
    }
    flush();
    return grammar_.sequence(parts);
  }

  /// One character in `single`, or what else an atom is.
  Expression atom(std::optional<char32_t>& single) {
    switch (peek()) {
      case '(':
        return group();
      case '[':
        return characters_.one_of(character_class());
      case '.':
        ++at_;
        return characters_.one_of(line_ends().inverted());
      case '\\': {
        if (std::optional<CodePointSet> set = class_escape()) return characters_.one_of(*set);
        single = character_escape(false);
        return 0;
      }
      case '^':
        unsupported("'^' within the expression");
      case '*':
      case '+':
      case '?':
        bad("repeats nothing");
      default:
        if (is_quantifier()) bad("repeats nothing");
        single = take_character();
        return 0;
    }
  }

  Expression group() {
    if (++nesting_ > kMaxNesting) bad(fmt::format("nests more than {} groups", kMaxNesting));
    ++at_;
    if (take('?')) {
      if (take("<=") || take("<!")) unsupported("look-behind");
      if (take('=') || take('!')) unsupported("look-ahead");
      if (take('<') || take("P<")) {
        const size_t end = in_.find('>', at_);
        if (end == std::string_view::npos) bad("has a group whose name does not end");
        at_ = end + 1;
      } else if (!take(':')) {
        unsupported("a group of this kind or a flag");
      }
    }
    const Expression inside = alternatives();
    if (peek() == '$') unsupported("'$' within a group");
    if (!take(')')) bad("has a group that does not end");
    --nesting_;
    return inside;
  }

  bool is_quantifier() const {
    const char c = peek();
    if (c == '*' || c == '+' || c == '?') return true;
    if (c != '{') return false;
    size_t i = at_ + 1;
    auto skip_digits = [&] {
      const size_t before = i;
      while (i < in_.size() && in_[i] >= '0' && in_[i] <= '9') ++i;
      return i > before;
    };
    if (!skip_digits()) return false;
    if (i < in_.size() && in_[i] == ',') {
      ++i;
      skip_digits();
    }
    return i < in_.size() && in_[i] == '}';
  }

  uint32_t count() {
    uint32_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint32_t>(in_[at_++] - '0');
      if (value > kMaxCount) bad(fmt::format("repeats more than {} times", kMaxCount));
    }
    return value;
  }

  Expression quantified(Expression part) {
    if (!is_quantifier()) return part;
    uint32_t min = 0, max = kUnbounded;
    switch (in_[at_++]) {
      case '*':
        break;
      case '+':
        min = 1;
        break;
      case '?':
        max = 1;
        break;
      default:
        min = max = count();
        if (take(',')) max = peek() == '}' ? kUnbounded : count();
        if (max < min) bad("has a repetition whose upper bound is below its lower one");
        ++at_;
    }
    take('?');  // lazy
    if (peek() == '+') unsupported("a possessive quantifier");
    if (is_quantifier()) bad("repeats a repetition");
    return grammar_.repeat(part, min, max);
  }

  std::optional<CodePointSet> class_escape() {
    auto inverted_if = [](bool invert, const CodePointSet& set) {
      return invert ? set.inverted() : set;
    };
    const char c = peek(1);
    switch (c) {
      case 'd':
      case 'D':
        at_ += 2;
        return inverted_if(c == 'D', digits());
      case 'w':
      case 'W':
        at_ += 2;
        return inverted_if(c == 'W', word_characters());
      case 's':
      case 'S':
        at_ += 2;
        return inverted_if(c == 'S', white_space());
      case 'p':
      case 'P': {
        at_ += 2;
        const size_t end = in_.find('}', at_);
        if (peek() != '{' || end == std::string_view::npos) bad("has a \\p without {…}");
        const std::string name(in_.substr(at_ + 1, end - at_ - 1));
        at_ = end + 1;
        auto found = properties_.find(name);
        if (found == properties_.end()) {
          found = properties_.emplace(name, property(name)).first;
        }
        return inverted_if(c == 'P', found->second);
      }
      default:
        return std::nullopt;
    }
  }

  CodePointSet property(std::string_view name) const {
    try {
      return unicode_property(name);
    } catch (const Error& error) {
      bad(fmt::format("is not supported: {}", error.what()));
    }
  }

  char32_t hex(size_t min_digits, size_t max_digits) {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < max_digits; ++digits, ++at_) {
      const char c = peek();
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        value = value * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
      } else {
        break;
      }
    }
    if (digits < min_digits) bad("has an escape with too few hexadecimal digits");
    return value;
  }

  char32_t character_escape(bool in_class) {
    ++at_;
    const char c = peek();
    if (at_end()) bad("ends with a backslash");
    constexpr std::string_view kControls = "t\tn\nr\rv\vf\f";
    for (size_t i = 0; i < kControls.size(); i += 2) {
      if (take(kControls[i])) return static_cast<char32_t>(kControls[i + 1]);
    }
    if (c == 'b' && in_class) {
      ++at_;
      return '\b';
    }
    if (c == 'b' || c == 'B') unsupported("a word boundary (\\b)");
    if (c == '0' && !(peek(1) >= '0' && peek(1) <= '9')) {
      ++at_;
      return 0;
    }
    if ((c >= '0' && c <= '9') || c == 'k') unsupported("a back-reference");
    if (take('x')) return hex(2, 2);
    if (take('u')) return unicode_escape();
    if (take('c')) return take_character() % 32;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      unsupported(fmt::format("the escape \\{}", c));
    }
    return take_character();
  }

  char32_t unicode_escape() {
    char32_t value = 0;
    if (take('{')) {
      value = hex(1, 6);
      if (!take('}')) bad("has a \\u{ without its end");
    } else {
      value = hex(4, 4);
      if (value >= 0xd800 && value < 0xdc00 && take("\\u")) {
        const char32_t low = hex(4, 4);
        if (low < 0xdc00 || low > 0xdfff) bad("has half of a surrogate pair");
        return 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
      }
    }
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) bad("has an impossible character");
    return value;
  }

  CodePointSet character_class() {
    ++at_;
    const bool inverted = take('^');
    std::vector<CodePointRange> ranges;
    while (!take(']')) {
      if (at_end()) bad("has a character class that does not end");
      std::optional<CodePointSet> set;
      const char32_t first = class_member(set);
      if (set.has_value()) {
        ranges.insert(ranges.end(), set->ranges().begin(), set->ranges().end());
        continue;
      }
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']' && peek(1) != '\0') {
        ++at_;
        last = class_member(set);
        if (set.has_value()) bad("has a range to something that is not one character");
        if (last < first) bad("has a range whose end comes before its beginning");
      }
      ranges.push_back({first, last});
    }
    const CodePointSet result(std::move(ranges));
    return inverted ? result.inverted() : result;
  }

  char32_t class_member(std::optional<CodePointSet>& set) {
    if (peek() != '\\') return take_character();
    set = class_escape();
    return set.has_value() ? 0 : character_escape(true);
  }

  std::string_view in_;
  std::string_view source_;
  Anchoring anchoring_;
  Grammar& grammar_;
  CharacterExpressions& characters_;
  std::map<std::string, CodePointSet, std::less<>> properties_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

Expression parse_regex(std::string_view regex, std::string_view source, Anchoring anchoring,
                       Grammar& grammar, CharacterExpressions& characters) {
  return RegexParser(regex, source, anchoring, grammar, characters).parse();
}

Grammar grammar_from_regex(std::string_view regex) {
  Grammar grammar;
  const Rule root = grammar.add_rule("regular expression");
  CharacterExpressions characters(grammar, TextEncoding::utf8);
  grammar.define(root, parse_regex(regex, "regex", Anchoring::whole, grammar, characters));
  return grammar;
}

}  // namespace millrace
