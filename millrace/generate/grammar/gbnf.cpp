#include "millrace/generate/grammar/gbnf.h"

#include <string>
#include <unordered_map>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/indexed_map.h"
#include "millrace/generate/grammar/code_points.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr size_t kMaxLength = 4'000'000;
constexpr uint32_t kMaxCount = 100'000;
constexpr int kMaxNesting = 200;

struct HashText {
  size_t operator()(const std::string& text) const { return seeded_hash(text); }
};

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text)
      : in_(text), characters_(grammar_, TextEncoding::utf8) {}

  Grammar parse() {
    require(in_.size() <= kMaxLength, "grammar: it has {} bytes, more than {}", in_.size(),
            kMaxLength);
    require(is_utf8(in_), "grammar: it is not UTF-8");
    rule_named("root");  // the first rule is what the text must match
    skip_space(true);
    while (!at_end()) rule();
    for (const Grammar::RuleDefinition& rule : grammar_.rules()) {
      require(rule.expression != Grammar::kUndefined, "grammar: rule '{}' is {} but not defined",
              rule.name, rule.name == "root" ? "needed" : "used");
    }
    return std::move(grammar_);
  }

 private:
  [[noreturn]] void bad(std::string_view what) const {
    size_t line = 1;
    for (size_t i = 0; i < at_ && i < in_.size(); ++i) line += in_[i] == '\n';
    fail("grammar, line {}: {}", line, what);
  }

  bool at_end() const { return at_ >= in_.size(); }
  char peek() const { return at_end() ? '\0' : in_[at_]; }
  bool take(std::string_view text) {
    if (!in_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  void skip_space(bool lines) {
    while (!at_end()) {
      const char c = peek();
      if (c == '#') {
        while (!at_end() && peek() != '\n' && peek() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }

  std::string name() {
    const size_t begin = at_;
    while (is_name(peek())) ++at_;
    if (at_ == begin) bad("expected a rule's name");
    return std::string(in_.substr(begin, at_ - begin));
  }

  Rule rule_named(const std::string& name) {
    if (auto found = rules_.find(name); found != rules_.end()) return found->second;
    const Rule rule = grammar_.add_rule(name);
    rules_.emplace(name, rule);
    return rule;
  }

  void rule() {
    const std::string defined = name();
    const Rule rule = rule_named(defined);
    skip_space(false);
    if (!take("::=")) bad(fmt::format("expected ::= after the name '{}'", defined));
    skip_space(true);
    if (grammar_.rules()[rule].expression != Grammar::kUndefined) {
      bad(fmt::format("rule '{}' is defined twice", defined));
    }
    grammar_.define(rule, alternatives(false));
    if (!at_end() && peek() != '\n' && peek() != '\r') bad("expected the end of the line");
    skip_space(true);
  }

  Expression alternatives(bool nested) {
    std::vector<Expression> ways = {sequence(nested)};
    while (take("|")) {
      skip_space(true);
      ways.push_back(sequence(nested));
    }
    return grammar_.choice(ways);
  }

  Expression sequence(bool nested) {
    std::vector<Expression> parts;
    for (;;) {
      Expression part = 0;
      if (take("\"")) {
        part = literal();
      } else if (take("[")) {
        part = character_class();
      } else if (take(".")) {
        part = characters_.one_of(CodePointSet::any());
      } else if (take("<[")) {
        part = token();
      } else if (take("(")) {
        part = group();
      } else if (is_name(peek())) {
        part = grammar_.call(rule_named(name()));
      } else {
        break;
      }
      skip_space(nested);
      parts.push_back(repeated(part, nested));
    }
    if (peek() == '<' || peek() == '!') bad("tokens are written by id, as <[1000]>");
    return grammar_.sequence(parts);
  }

  Expression group() {
    if (++nesting_ > kMaxNesting) bad(fmt::format("more than {} groups are nested", kMaxNesting));
    skip_space(true);
    const Expression inside = alternatives(true);
    if (!take(")")) bad("expected )");
    --nesting_;
    return inside;
  }

  Expression repeated(Expression part, bool nested) {
    uint32_t min = 0, max = kUnbounded;
    if (take("*")) {
    } else if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (take("{")) {
      skip_space(nested);
      if (peek() != ',') min = count();
      skip_space(nested);
      if (take(",")) {
        skip_space(nested);
        if (peek() != '}') max = count();
        skip_space(nested);
      } else {
        max = min;
      }
      if (!take("}")) bad("expected }");
      if (max < min) bad("the upper bound of a repetition is below its lower one");
    } else {
      return part;
    }
    skip_space(nested);
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{') {
      bad("a repetition of a repetition: put the inner one into ( )");
    }
    return grammar_.repeat(part, min, max);
  }

  uint32_t count() {
    if (peek() < '0' || peek() > '9') bad("expected a number");
    uint32_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint32_t>(in_[at_++] - '0');
      if (value > kMaxCount) bad(fmt::format("a part repeats more than {} times", kMaxCount));
    }
    return value;
  }

  Expression literal() {
    std::string text;
    while (!take("\"")) {
      if (at_end() || peek() == '\n') bad("a literal does not end");
      append_utf8(text, character());
    }
    return grammar_.literal(text);
  }

  Expression character_class() {
    const bool inverted = take("^");
    std::vector<CodePointRange> ranges;
    while (!take("]")) {
      if (at_end() || peek() == '\n') bad("a character class does not end");
      const char32_t first = character();
      char32_t last = first;
      if (peek() == '-' && !in_.substr(at_).starts_with("-]")) {
        ++at_;
        if (at_end()) bad("a character class does not end");
        last = character();
      }
      if (last < first) bad("the end of a range comes before its beginning");
      ranges.push_back({first, last});
    }
    const CodePointSet set(std::move(ranges));
    return characters_.one_of(inverted ? set.inverted() : set);
  }

  Expression token() {
    const uint32_t id = static_cast<uint32_t>(number(10, 9));
    if (!take("]>")) bad("expected ]> after a token's id");
    return grammar_.token(static_cast<int32_t>(id));
  }

  char32_t number(uint32_t base, size_t max_digits) {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < max_digits; ++digits, ++at_) {
      const char c = peek();
      char32_t digit = base;
      if (c >= '0' && c <= '9') digit = static_cast<char32_t>(c - '0');
      if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        digit = static_cast<char32_t>((c | 0x20) - 'a' + 10);
      }
      if (digit >= base) break;
      value = value * base + digit;
    }
    if (digits == 0 || (base == 16 && digits < max_digits)) bad("expected more digits");
    return value;
  }

  char32_t character() {
    if (!take("\\")) {
      const size_t length = utf8_length(in_.substr(at_));
      at_ += length;
      return decode_utf8(in_.substr(at_ - length, length));
    }
    const char c = peek();
    ++at_;
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return checked(number(16, 2));
      case 'u':
        return checked(number(16, 4));
      case 'U':
        return checked(number(16, 8));
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(c);
      default:
        bad(fmt::format("the escape {} is not known", quote(in_.substr(at_ - 2, 2))));
    }
  }

  char32_t checked(char32_t c) const {
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) bad("an escape is no character");
    return c;
  }

  std::string_view in_;
  Grammar grammar_;
  CharacterExpressions characters_;
  std::unordered_map<std::string, Rule, HashText> rules_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

Grammar grammar_from_gbnf(std::string_view text) {
  return GbnfParser(text).parse();
}

}  // namespace millrace
