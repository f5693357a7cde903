#include "millrace/text/jinja/expression_parser.h"

#include <array>

namespace millrace::jinja {
namespace {

constexpr int kMaxNesting = 100;
constexpr int kMaxNodes = 4000;  // of one expression; also bounds the depth of its tree

Value literal(std::string bytes) {
  return Text(std::move(bytes), Origin::kTemplate);
}

}  // namespace

const Token& TokenStream::next() {
  const Token& token = current();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenStream::accept_symbol(std::string_view symbol) {
  bool found = at_symbol(symbol);
  if (found) next();
  return found;
}

bool TokenStream::accept_name(std::string_view name) {
  bool found = at_name(name);
  if (found) next();
  return found;
}

void TokenStream::expect_symbol(std::string_view symbol) {
  if (!accept_symbol(symbol)) fail_unexpected(fmt::format("'{}'", symbol));
}

void TokenStream::expect(TokenKind kind, std::string_view description) {
  if (!at(kind)) fail_unexpected(description);
  next();
}

std::string TokenStream::expect_name() {
  if (!at(TokenKind::kName)) fail_unexpected("a name");
  return next().text;
}

void TokenStream::fail_unexpected(std::string_view expected) const {
  switch (current().kind) {
    case TokenKind::kEnd:
      fail_here("expected {}, but the template ends", expected);
    case TokenKind::kVariableEnd:
    case TokenKind::kBlockEnd:
      fail_here("expected {}, but the tag ends", expected);
    case TokenKind::kText:
    case TokenKind::kVariableBegin:
    case TokenKind::kBlockBegin:
      fail_here("expected {}", expected);
    default:
      fail_here("expected {}, got '{}'", expected, current().text);
  }
}

ExpressionParser::Level::Level(ExpressionParser& parser) : parser_(parser) {
  if (parser_.nesting_ >= kMaxNesting) {
    parser_.stream_.fail_here("is nested deeper than {} levels", kMaxNesting);
  }
  ++parser_.nesting_;
}

template <typename Node>
ExprPtr ExpressionParser::make(int line, Node node) {
  if (++nodes_ > kMaxNodes) stream_.fail_here("an expression has more than {} parts", kMaxNodes);
  return std::make_unique<Expr>(Expr{line, std::move(node)});
}

ExprPtr ExpressionParser::parse_expression() {
  Level level(*this);
  if (expression_nesting_ == 0) nodes_ = 0;
  ++expression_nesting_;
  ExprPtr result = parse_conditional();
  --expression_nesting_;
  return result;
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  return stream_.at(TokenKind::kVariableEnd) || stream_.at(TokenKind::kBlockEnd) ||
         stream_.at_symbol(")") || (!end_name.empty() && stream_.at_name(end_name));
}

ExprPtr ExpressionParser::parse_tuple(bool allow_conditional, std::string_view end_name,
                                      bool in_parentheses) {
  int line = stream_.current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end(end_name)) {
    if (allow_conditional) {
      items.push_back(parse_expression());
    } else {
      Level level(*this);
      if (expression_nesting_ == 0) nodes_ = 0;
      items.push_back(parse_or());
    }
    if (!stream_.accept_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.size() == 1) return std::move(items[0]);
  if (items.empty() && !in_parentheses) stream_.fail_unexpected("an expression");
  return make(line, ListLiteral{std::move(items), ListKind::kTuple});
}

ExprPtr ExpressionParser::parse_conditional() {
  int line = stream_.current().line;
  ExprPtr result = parse_or();
  while (stream_.accept_name("if")) {
    ExprPtr test = parse_or();
    ExprPtr otherwise;
    if (stream_.accept_name("else")) {
      Level level(*this);
      otherwise = parse_conditional();
    }
    result = make(line, Conditional{std::move(test), std::move(result), std::move(otherwise)});
  }
  return result;
}

ExprPtr ExpressionParser::parse_or() {
  int line = stream_.current().line;
  ExprPtr left = parse_and();
  while (stream_.accept_name("or")) left = make(line, Logical{false, std::move(left), parse_and()});
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  int line = stream_.current().line;
  ExprPtr left = parse_not();
  while (stream_.accept_name("and")) left = make(line, Logical{true, std::move(left), parse_not()});
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  int line = stream_.current().line;
  if (!stream_.accept_name("not")) return parse_comparison();
  Level level(*this);
  return make(line, Unary{UnaryOp::kNot, parse_not()});
}

bool ExpressionParser::accept_comparison(CompareOp& op) {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kSymbols = {{
      {"==", CompareOp::kEqual},
      {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},
      {"<=", CompareOp::kLessEqual},
      {">", CompareOp::kGreater},
      {">=", CompareOp::kGreaterEqual},
  }};
  for (const auto& entry : kSymbols) {
    if (stream_.accept_symbol(entry.first)) {
      op = entry.second;
      return true;
    }
  }
  if (stream_.accept_name("in")) {
    op = CompareOp::kIn;
    return true;
  }
  if (!stream_.at_name("not") || !TokenStream::is(stream_.look(), TokenKind::kName, "in")) {
    return false;
  }
  stream_.next();
  stream_.next();
  op = CompareOp::kNotIn;
  return true;
}

ExprPtr ExpressionParser::parse_comparison() {
  int line = stream_.current().line;
  ExprPtr first = parse_sum();
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  for (CompareOp op; accept_comparison(op);) rest.emplace_back(op, parse_sum());
  if (rest.empty()) return first;
  return make(line, Comparison{std::move(first), std::move(rest)});
}

ExprPtr ExpressionParser::parse_sum() {
  int line = stream_.current().line;
  ExprPtr left = parse_concat();
  while (stream_.at_symbol("+") || stream_.at_symbol("-")) {
    BinaryOp op = stream_.next().text == "+" ? BinaryOp::kAdd : BinaryOp::kSubtract;
    left = make(line, Binary{op, std::move(left), parse_concat()});
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  int line = stream_.current().line;
  ExprPtr first = parse_product();
  if (!stream_.at_symbol("~")) return first;
  std::vector<ExprPtr> parts;
  parts.push_back(std::move(first));
  while (stream_.accept_symbol("~")) parts.push_back(parse_product());
  return make(line, Concat{std::move(parts)});
}

ExprPtr ExpressionParser::parse_product() {
  int line = stream_.current().line;
  ExprPtr left = parse_power();
  for (;;) {
    BinaryOp op;
    if (stream_.accept_symbol("*")) {
      op = BinaryOp::kMultiply;
    } else if (stream_.accept_symbol("/")) {
      op = BinaryOp::kDivide;
    } else if (stream_.accept_symbol("//")) {
      op = BinaryOp::kFloorDivide;
    } else if (stream_.accept_symbol("%")) {
      op = BinaryOp::kModulo;
    } else {
      return left;
    }
    left = make(line, Binary{op, std::move(left), parse_power()});
  }
}

ExprPtr ExpressionParser::parse_power() {
  int line = stream_.current().line;
  ExprPtr left = parse_unary(true);
  while (stream_.accept_symbol("**")) {
    left = make(line, Binary{BinaryOp::kPower, std::move(left), parse_unary(true)});
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  int line = stream_.current().line;
  ExprPtr result;
  if (stream_.at_symbol("-") || stream_.at_symbol("+")) {
    Level level(*this);
    UnaryOp op = stream_.next().text == "-" ? UnaryOp::kNegate : UnaryOp::kPlus;
    result = make(line, Unary{op, parse_unary(false)});
  } else {
    result = parse_primary();
  }
  result = parse_postfix(std::move(result));
  return with_filters ? parse_filters(std::move(result)) : std::move(result);
}

ExprPtr ExpressionParser::parse_primary() {
  const Token& token = stream_.current();
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name_or_constant();
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
      return make(token.line, Constant{stream_.next().integer});
    case TokenKind::kFloat:
      return make(token.line, Constant{stream_.next().number});
    default:
      break;
  }
  if (stream_.at_symbol("[")) return parse_list();
  if (stream_.at_symbol("{")) return parse_dict();
  if (!stream_.accept_symbol("(")) stream_.fail_unexpected("an expression");
  ExprPtr inner = parse_tuple(true, "", true);
  stream_.expect_symbol(")");
  return inner;
}

ExprPtr ExpressionParser::parse_name_or_constant() {
  const Token& token = stream_.next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(token.line, Constant{true});
  if (name == "false" || name == "False") return make(token.line, Constant{false});
  if (name == "none" || name == "None") return make(token.line, Constant{Value()});
  if (name == "varargs") special_names_.varargs = true;
  if (name == "kwargs") special_names_.kwargs = true;
  if (name == "caller") special_names_.caller = true;
  return make(token.line, Name{name});
}

ExprPtr ExpressionParser::parse_string() {
  int line = stream_.current().line;
  std::string bytes;
  while (stream_.at(TokenKind::kString)) bytes += stream_.next().text;
  return make(line, Constant{literal(std::move(bytes))});
}

ExprPtr ExpressionParser::parse_list() {
  int line = stream_.current().line;
  stream_.expect_symbol("[");
  std::vector<ExprPtr> items;
  while (!stream_.at_symbol("]")) {
    items.push_back(parse_expression());
    if (!stream_.accept_symbol(",")) break;
  }
  stream_.expect_symbol("]");
  return make(line, ListLiteral{std::move(items), ListKind::kList});
}

ExprPtr ExpressionParser::parse_dict() {
  int line = stream_.current().line;
  stream_.expect_symbol("{");
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
  while (!stream_.at_symbol("}")) {
    ExprPtr key = parse_expression();
    stream_.expect_symbol(":");
    entries.emplace_back(std::move(key), parse_expression());
    if (!stream_.accept_symbol(",")) break;
  }
  stream_.expect_symbol("}");
  return make(line, DictLiteral{std::move(entries)});
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr object) {
  for (;;) {
    int line = stream_.current().line;
    if (stream_.accept_symbol(".")) {
      object = parse_attribute(std::move(object));
    } else if (stream_.accept_symbol("[")) {
      object = parse_subscript(std::move(object));
    } else if (stream_.at_symbol("(")) {
      object = make(line, Call{std::move(object), parse_call_arguments()});
    } else {
      return object;
    }
  }
}

ExprPtr ExpressionParser::parse_attribute(ExprPtr object) {
  int line = stream_.current().line;
  if (stream_.at(TokenKind::kInteger)) {
    ExprPtr index = make(line, Constant{stream_.next().integer});
    return make(line, Subscript{std::move(object), std::move(index)});
  }
  return make(line, Attribute{std::move(object), stream_.expect_name()});
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr object) {
  int line = stream_.current().line;
  std::vector<ExprPtr> indices;
  bool is_tuple = false;
  while (!stream_.at_symbol("]")) {
    indices.push_back(parse_index());
    if (!stream_.accept_symbol(",")) break;
    is_tuple = true;
  }
  stream_.expect_symbol("]");
  ExprPtr index = indices.size() == 1 && !is_tuple
                      ? std::move(indices[0])
                      : make(line, ListLiteral{std::move(indices), ListKind::kTuple});
  return make(line, Subscript{std::move(object), std::move(index)});
}

ExprPtr ExpressionParser::parse_index() {
  int line = stream_.current().line;
  auto at_end = [&] {
    return stream_.at_symbol(":") || stream_.at_symbol("]") || stream_.at_symbol(",");
  };
  ExprPtr start;
  if (!stream_.at_symbol(":")) {
    start = parse_expression();
    if (!stream_.at_symbol(":")) return start;
  }
  stream_.next();
  ExprPtr stop = at_end() ? nullptr : parse_expression();
  ExprPtr step;
  if (stream_.accept_symbol(":") && !at_end()) step = parse_expression();
  return make(line, Slice{std::move(start), std::move(stop), std::move(step)});
}

ExprPtr ExpressionParser::parse_filters(ExprPtr input) {
  for (;;) {
    int line = stream_.current().line;
    if (stream_.accept_symbol("|")) {
      input = make(line, Filter{std::move(input), parse_filter_call()});
    } else if (stream_.accept_name("is")) {
      input = parse_test(std::move(input));
    } else if (stream_.at_symbol("(")) {
      input = make(line, Call{std::move(input), parse_call_arguments()});
    } else {
      return input;
    }
  }
}

void ExpressionParser::append_dotted_names(std::string& name) {
  while (stream_.accept_symbol(".")) {
    name += '.';
    name += stream_.expect_name();
  }
}

FilterCall ExpressionParser::parse_filter_call() {
  FilterCall call;
  call.line = stream_.current().line;
  call.name = stream_.expect_name();
  append_dotted_names(call.name);
  if (stream_.at_symbol("(")) call.arguments = parse_call_arguments();
  return call;
}

ExprPtr ExpressionParser::parse_test(ExprPtr input) {
  int line = stream_.current().line;
  bool negated = stream_.accept_name("not");
  Test test{std::move(input), stream_.expect_name(), {}};
  append_dotted_names(test.name);
  bool at_operand = stream_.at(TokenKind::kName) || stream_.at(TokenKind::kString) ||
                    stream_.at(TokenKind::kInteger) || stream_.at(TokenKind::kFloat) ||
                    stream_.at_symbol("[") || stream_.at_symbol("{");
  if (stream_.at_symbol("(")) {
    test.arguments = parse_call_arguments();
  } else if (at_operand && !stream_.at_name("else") && !stream_.at_name("or") &&
             !stream_.at_name("and")) {
    if (stream_.at_name("is")) stream_.fail_here("tests cannot be chained with 'is'");
    Level level(*this);
    test.arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  ExprPtr result = make(line, std::move(test));
  return negated ? make(line, Unary{UnaryOp::kNot, std::move(result)}) : std::move(result);
}

CallArguments ExpressionParser::parse_call_arguments() {
  CallArguments arguments;
  stream_.expect_symbol("(");
  while (!stream_.at_symbol(")")) {
    bool named =
        stream_.at(TokenKind::kName) && TokenStream::is(stream_.look(), TokenKind::kSymbol, "=");
    bool in_order = true;
    if (stream_.accept_symbol("**")) {
      in_order = arguments.double_star == nullptr;
      arguments.double_star = parse_expression();
    } else if (stream_.accept_symbol("*")) {
      in_order = arguments.star == nullptr && arguments.double_star == nullptr;
      arguments.star = parse_expression();
    } else if (named) {
      in_order = arguments.double_star == nullptr;
      std::string name = stream_.expect_name();
      stream_.next();
      arguments.named.emplace_back(std::move(name), parse_expression());
    } else {
      in_order = arguments.named.empty() && !arguments.star && !arguments.double_star;
      arguments.positional.push_back(parse_expression());
    }
    if (!in_order) stream_.fail_here("the arguments of a call are in a wrong order");
    if (!stream_.accept_symbol(",")) break;
  }
  stream_.expect_symbol(")");
  return arguments;
}

}  // namespace millrace::jinja
