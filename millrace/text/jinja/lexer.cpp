#include "millrace/text/jinja/lexer.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "millrace/base/error.h"
#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/literals.h"

namespace millrace::jinja {
namespace {

constexpr size_t kMaxSource = size_t{1} << 20;

/// \r\n and \r become \n; one newline at the end goes, as Jinja does by default.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    if (source[at] != '\r') {
      out += source[at];
    } else {
      out += '\n';
      if (at + 1 < source.size() && source[at + 1] == '\n') ++at;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_name_character(uint32_t code) {
  return code == '_' || is_alphabetic(code) || is_numeric(code);
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name)
      : name_(name), normalized_(normalize_newlines(source)), source_(normalized_) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_text();
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) {
    fail("{}, line {}: {}", name_, line_, fmt::format(format, std::forward<Args>(args)...));
  }

  bool starts_with(std::string_view prefix) const {
    return source_.substr(at_, prefix.size()) == prefix;
  }

  void push(TokenKind kind, std::string_view text) {
    tokens_.push_back({kind, line_, std::string(text)});
  }

  void advance(size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) line_ += source_[at_ + i] == '\n';
    at_ += bytes;
  }

  void skip_space() { advance(strip_space(source_.substr(at_), true, false).begin); }

  /// Where white space that begins at `from` ends.
  size_t after_space(size_t from) const {
    return from + strip_space(source_.substr(from), true, false).begin;
  }

  /// Passes over a tag's end: '-' eats the white space that follows, a block's or comment's plain
  /// end eats one newline.
  void end_tag(std::string_view end, bool trim_newline) {
    bool strip = source_[at_] == '-';
    bool keep = source_[at_] == '+';
    advance(end.size() + (strip || keep ? 1 : 0));
    if (strip) {
      skip_space();
    } else if (trim_newline && !keep && starts_with("\n")) {
      advance(1);
    }
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  /// The text before a tag, without what the tag's sign or lstrip_blocks takes from its end.
  std::string_view strip_before_tag(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return text.substr(0, strip_space(text, false, true).end);
    if (sign == '+' || is_variable) return text;
    size_t line_begin = text.rfind('\n') + 1;  // npos + 1 is 0
    if (line_begin == 0 && !line_starting_) return text;
    bool only_space =
        strip_space(text.substr(line_begin), true, false).begin == text.size() - line_begin;
    return only_space ? text.substr(0, line_begin) : text;
  }

  size_t find_tag() const {
    for (size_t at = source_.find('{', at_); at != std::string_view::npos;
         at = source_.find('{', at + 1)) {
      std::string_view next = source_.substr(at + 1, 1);
      if (next == "{" || next == "%" || next == "#") return at;
    }
    return source_.size();
  }

  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  /// Text up to the next tag, and the tag.
  void lex_text() {
    size_t tag = find_tag();
    if (tag == source_.size()) {
      push(TokenKind::kText, source_.substr(at_));
      at_ = tag;
      return;
    }
    char type = source_[tag + 1];
    char sign = sign_at(tag + 2);
    std::string_view text = strip_before_tag(source_.substr(at_, tag - at_), sign, type == '{');
    if (!text.empty()) push(TokenKind::kText, text);
    advance(tag - at_ + 2 + (sign != '\0' ? 1 : 0));
    if (type == '#') {
      skip_comment();
    } else if (type == '{') {
      lex_tag(TokenKind::kVariableBegin, TokenKind::kVariableEnd, "}}");
    } else if (!lex_raw()) {
      lex_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd, "%}");
    }
  }

  void skip_comment() {
    size_t end = source_.find("#}", at_);
    if (end == std::string_view::npos) fail_here("a comment has no end: #}} is missing");
    if (end > at_ && sign_at(end - 1) != '\0') --end;
    advance(end - at_);
    end_tag("#}", true);
  }

  /// The byte after `{% <name> %}`'s name when it stands at `at` (after the sign), else npos.
  size_t after_tag_name(size_t at, std::string_view tag_name) const {
    at = after_space(at);
    if (source_.substr(at, tag_name.size()) != tag_name) return std::string_view::npos;
    return after_space(at + tag_name.size());
  }

  /// {% raw %}…{% endraw %}: text in which nothing is a tag.
  bool lex_raw() {
    size_t end = after_tag_name(at_, "raw");
    if (end == std::string_view::npos) return false;
    if (source_.substr(end, 3) != "-%}" && source_.substr(end, 2) != "%}") return false;
    advance(end - at_);
    end_tag("%}", false);
    for (size_t tag = source_.find("{%", at_); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      char sign = sign_at(tag + 2);
      size_t close = after_tag_name(tag + 2 + (sign != '\0' ? 1 : 0), "endraw");
      if (close == std::string_view::npos) continue;
      size_t bracket = close + (sign_at(close) != '\0' ? 1 : 0);
      if (source_.substr(bracket, 2) != "%}") continue;
      push(TokenKind::kText, strip_before_tag(source_.substr(at_, tag - at_), sign, false));
      advance(close - at_);
      end_tag("%}", true);
      return true;
    }
    fail_here("a raw block has no end: {{% endraw %}} is missing");
  }

  void lex_tag(TokenKind begin, TokenKind end, std::string_view closing) {
    push(begin, "");
    std::string open_brackets;
    while (at_ < source_.size()) {
      if (open_brackets.empty() && at_tag_end(closing)) {
        push(end, "");
        end_tag(closing, end == TokenKind::kBlockEnd);
        return;
      }
      if (size_t space = after_space(at_); space != at_) {
        advance(space - at_);
      } else {
        lex_token(open_brackets);
      }
    }
    fail_here("a tag has no end: {} is missing", closing);
  }

  bool at_tag_end(std::string_view closing) const {
    char sign = sign_at(at_);
    if (sign == '+' && closing == "}}") return false;
    return source_.substr(at_ + (sign != '\0' ? 1 : 0), closing.size()) == closing;
  }

  void lex_token(std::string& open_brackets) {
    char c = source_[at_];
    if (is_digit(c)) return lex_number();
    if (c == '\'' || c == '"') return lex_string(c);
    if (is_name_character(character_at(source_, at_).code)) return lex_name();
    lex_symbol(open_brackets);
  }

  void lex_name() {
    size_t end = at_;
    while (end < source_.size()) {
      Character character = character_at(source_, end);
      if (!is_name_character(character.code)) break;
      end += character.length;
    }
    push(TokenKind::kName, source_.substr(at_, end - at_));
    at_ = end;
  }

  /// Digits with single underscores between them, from `from`; returns their end.
  size_t after_digits(size_t from) const {
    size_t end = from;
    while (end < source_.size() &&
           (is_digit(source_[end]) || (source_[end] == '_' && end > from &&
                                       end + 1 < source_.size() && is_digit(source_[end + 1])))) {
      ++end;
    }
    return end;
  }

  /// The end of a float that begins here, or at_ when there is none.
  size_t after_float() const {
    if (at_ > 0 && source_[at_ - 1] == '.') return at_;
    size_t end = after_digits(at_);
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.' && after_digits(end + 1) > end + 1) {
      end = after_digits(end + 1);
      is_float = true;
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t digits = end + 1 + (sign_at(end + 1) != '\0' ? 1 : 0);
      if (after_digits(digits) > digits) {
        end = after_digits(digits);
        is_float = true;
      }
    }
    return is_float ? end : at_;
  }

  void lex_number() {
    if (size_t end = after_float(); end > at_) {
      push(TokenKind::kFloat, source_.substr(at_, end - at_));
      tokens_.back().number = *parse_float(tokens_.back().text);
      at_ = end;
      return;
    }
    size_t end = after_digits(at_);
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      char base = static_cast<char>(source_[at_ + 1] | 0x20);
      if (base == 'x' || base == 'o' || base == 'b') {
        end = at_ + 2;
        while (end < source_.size() &&
               (std::isxdigit(static_cast<unsigned char>(source_[end])) || source_[end] == '_')) {
          ++end;
        }
      }
    }
    std::string_view digits = source_.substr(at_, end - at_);
    std::optional<Integer> value = parse_integer(digits, 0);
    if (!value) fail_here("'{}' is not an integer, or is too large", digits);
    push(TokenKind::kInteger, digits);
    tokens_.back().integer = *value;
    at_ = end;
  }

  void lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail_here("a string has no end: {} is missing", quote);
    std::optional<std::string> value = unescape(source_.substr(at_ + 1, end - at_ - 1));
    if (!value) fail_here("a string has a wrong escape sequence");
    push(TokenKind::kString, *value);
    advance(end + 1 - at_);
  }

  void lex_symbol(std::string& open_brackets) {
    static constexpr std::array<std::string_view, 26> kSymbols = {
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (std::string_view symbol : kSymbols) {
      if (!starts_with(symbol)) continue;
      balance(symbol[0], open_brackets);
      push(TokenKind::kSymbol, symbol);
      at_ += symbol.size();
      return;
    }
    fail_here("unexpected character '{}'", source_.substr(at_, character_at(source_, at_).length));
  }

  /// Keeps the stack of closing brackets that are still to come.
  void balance(char symbol, std::string& open_brackets) {
    if (symbol == '(') open_brackets += ')';
    if (symbol == '[') open_brackets += ']';
    if (symbol == '{') open_brackets += '}';
    if (symbol != ')' && symbol != ']' && symbol != '}') return;
    if (open_brackets.empty() || open_brackets.back() != symbol)
      fail_here("unexpected '{}'", symbol);
    open_brackets.pop_back();
  }

  std::string_view name_;
  std::string normalized_;
  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, std::string_view name) {
  require(source.size() <= kMaxSource, "{}: is larger than {} bytes", name, kMaxSource);
  return Lexer(source, name).run();
}

}  // namespace millrace::jinja
