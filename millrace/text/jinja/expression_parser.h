// The token cursor, and expressions by recursive descent in Jinja's order of precedence.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/text/jinja/ast.h"
#include "millrace/text/jinja/lexer.h"

namespace millrace::jinja {

/// Reads tokens one after another; errors name the template and the line.
class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string_view name)
      : tokens_(std::move(tokens)), name_(name) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next();

  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_symbol(std::string_view symbol) const {
    return is(current(), TokenKind::kSymbol, symbol);
  }
  bool at_name(std::string_view name) const { return is(current(), TokenKind::kName, name); }
  static bool is(const Token& token, TokenKind kind, std::string_view text) {
    return token.kind == kind && token.text == text;
  }

  /// Passes over the token and returns true when it is this one.
  bool accept_symbol(std::string_view symbol);
  bool accept_name(std::string_view name);

  void expect_symbol(std::string_view symbol);
  void expect(TokenKind kind, std::string_view description);
  std::string expect_name();

  template <typename... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}, line {}: {}", name_, current().line,
         fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void fail_unexpected(std::string_view expected) const;

 private:
  std::vector<Token> tokens_;
  std::string_view name_;
  size_t at_ = 0;
};

/// Parses expressions; the parser of statements derives from it.
class ExpressionParser {
 protected:
  explicit ExpressionParser(TokenStream stream) : stream_(std::move(stream)) {}

  /// One level of nesting, for as long as it lives.
  class Level {
   public:
    explicit Level(ExpressionParser& parser);
    ~Level() { --parser_.nesting_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ExpressionParser& parser_;
  };

  ExprPtr parse_expression();
  /// Expressions with commas between them make a tuple. `allow_conditional` is false where an `if`
  /// that follows belongs to the statement; `end_name` is a name that ends the tuple.
  ExprPtr parse_tuple(bool allow_conditional = true, std::string_view end_name = "",
                      bool in_parentheses = false);
  FilterCall parse_filter_call();
  /// A call's arguments, from its opening parenthesis to its closing one.
  CallArguments parse_call_arguments();

  TokenStream stream_;
  /// Special names that occurred since the macro around began.
  struct SpecialNames {
    bool varargs = false, kwargs = false, caller = false;
  } special_names_;

 private:
  template <typename Node>
  ExprPtr make(int line, Node node);

  bool at_tuple_end(std::string_view end_name) const;
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_comparison();
  bool accept_comparison(CompareOp& op);
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_name_or_constant();
  ExprPtr parse_string();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr object);
  ExprPtr parse_filters(ExprPtr input);
  ExprPtr parse_test(ExprPtr input);
  void append_dotted_names(std::string& name);
  ExprPtr parse_attribute(ExprPtr object);
  ExprPtr parse_subscript(ExprPtr object);
  ExprPtr parse_index();

  int nesting_ = 0;
  int expression_nesting_ = 0;
  int nodes_ = 0;
};

}  // namespace millrace::jinja
