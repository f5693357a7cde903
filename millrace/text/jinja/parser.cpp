#include "millrace/text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "millrace/text/jinja/expression_parser.h"

namespace millrace::jinja {
namespace {

class Parser : private ExpressionParser {
 public:
  explicit Parser(TokenStream stream) : ExpressionParser(std::move(stream)) {}

  Body parse_template() { return parse_body({}); }

 private:
  /// Statements up to one of these end tags, whose name is then the current token; up to the end of
  /// the template when there are none.
  Body parse_body(std::initializer_list<std::string_view> end_names);
  /// From the end of an opening tag through the closing one.
  Body parse_block(std::string_view end_name);
  /// From the end of an opening tag to the name in the closing one, which is returned through
  /// `end_name`.
  Body parse_block_until(std::initializer_list<std::string_view> end_names, std::string& end_name);

  Statement parse_statement();
  If parse_if();
  For parse_for();
  Statement parse_set();
  With parse_with();
  Macro parse_macro();
  CallBlock parse_call_block();
  FilterBlock parse_filter_block();
  Generation parse_generation();
  Statement parse_loop_control(bool is_break);

  Target parse_target(std::string_view end_name, bool allow_member);
  Target parse_single_target(bool allow_member);
  std::string parse_variable_name();
  std::vector<Parameter> parse_parameters();
  /// A macro's body, with a note of the special names that it uses.
  MacroCode parse_macro_body(std::string_view end_name);

  int loops_ = 0;  ///< loops around, within this macro
};

Body Parser::parse_body(std::initializer_list<std::string_view> end_names) {
  Level level(*this);
  Body body;
  for (;;) {
    const Token& token = stream_.current();
    int line = token.line;
    switch (token.kind) {
      case TokenKind::kText:
        body.push_back({line, PrintText{Text(stream_.next().text, Origin::kTemplate)}});
        break;
      case TokenKind::kVariableBegin:
        stream_.next();
        body.push_back({line, PrintValue{parse_tuple()}});
        stream_.expect(TokenKind::kVariableEnd, "'}}'");
        break;
      case TokenKind::kBlockBegin: {
        stream_.next();
        bool ends = std::any_of(end_names.begin(), end_names.end(),
                                [&](std::string_view name) { return stream_.at_name(name); });
        if (ends) return body;
        body.push_back(parse_statement());
        stream_.expect(TokenKind::kBlockEnd, "'%}'");
        break;
      }
      default:
        if (end_names.size() > 0) {
          stream_.fail_unexpected(fmt::format("{{% {} %}}", *(end_names.end() - 1)));
        }
        return body;
    }
  }
}

Body Parser::parse_block_until(std::initializer_list<std::string_view> end_names,
                               std::string& end_name) {
  stream_.accept_symbol(":");
  stream_.expect(TokenKind::kBlockEnd, "'%}'");
  Body body = parse_body(end_names);
  end_name = stream_.next().text;
  return body;
}

Body Parser::parse_block(std::string_view end_name) {
  std::string found;
  return parse_block_until({end_name}, found);
}

Statement Parser::parse_statement() {
  int line = stream_.current().line;
  std::string tag = stream_.expect_name();
  if (tag == "if") return {line, parse_if()};
  if (tag == "for") return {line, parse_for()};
  if (tag == "set") return parse_set();
  if (tag == "with") return {line, parse_with()};
  if (tag == "macro") return {line, parse_macro()};
  if (tag == "call") return {line, parse_call_block()};
  if (tag == "filter") return {line, parse_filter_block()};
  if (tag == "break" || tag == "continue") return parse_loop_control(tag == "break");
  if (tag == "generation") return {line, parse_generation()};
  if (tag == "include" || tag == "import" || tag == "from" || tag == "extends" || tag == "block") {
    stream_.fail_here("the tag '{}' is not allowed: a chat template reads no other files", tag);
  }
  stream_.fail_here("unknown tag '{}'", tag);
}

If Parser::parse_if() {
  If result;
  std::string end_name;
  do {
    ExprPtr test = parse_tuple(false);
    Body body = parse_block_until({"elif", "else", "endif"}, end_name);
    result.branches.push_back({std::move(test), std::move(body)});
  } while (end_name == "elif");
  if (end_name == "else") result.branches.push_back({nullptr, parse_block("endif")});
  return result;
}

For Parser::parse_for() {
  For loop;
  loop.target = parse_target("in", false);
  if (!stream_.accept_name("in")) stream_.fail_unexpected("'in'");
  loop.iterable = parse_tuple(false, "recursive");
  if (stream_.accept_name("if")) loop.filter = parse_expression();
  loop.recursive = stream_.accept_name("recursive");
  ++loops_;
  std::string end_name;
  loop.body = parse_block_until({"else", "endfor"}, end_name);
  --loops_;
  if (end_name == "else") loop.otherwise = parse_block("endfor");
  return loop;
}

Statement Parser::parse_set() {
  int line = stream_.current().line;
  Target target = parse_target("", true);
  if (stream_.accept_symbol("=")) return {line, Set{std::move(target), parse_tuple()}};
  SetBlock block;
  block.target = std::move(target);
  while (stream_.accept_symbol("|")) block.filters.push_back(parse_filter_call());
  block.body = parse_block("endset");
  return {line, std::move(block)};
}

With Parser::parse_with() {
  With with;
  while (!stream_.at(TokenKind::kBlockEnd)) {
    if (!with.assignments.empty()) stream_.expect_symbol(",");
    Target target = parse_single_target(false);
    stream_.expect_symbol("=");
    with.assignments.emplace_back(std::move(target), parse_expression());
  }
  with.body = parse_block("endwith");
  return with;
}

MacroCode Parser::parse_macro_body(std::string_view end_name) {
  SpecialNames outer_names = std::exchange(special_names_, SpecialNames{});
  int outer_loops = std::exchange(loops_, 0);
  MacroCode code;
  code.body = parse_block(end_name);
  code.uses_varargs = special_names_.varargs;
  code.uses_kwargs = special_names_.kwargs;
  code.uses_caller = special_names_.caller;
  special_names_ = outer_names;
  loops_ = outer_loops;
  return code;
}

Macro Parser::parse_macro() {
  std::string name = parse_variable_name();
  std::vector<Parameter> parameters = parse_parameters();
  MacroCode code = parse_macro_body("endmacro");
  code.name = std::move(name);
  code.parameters = std::move(parameters);
  return Macro{std::move(code)};
}

CallBlock Parser::parse_call_block() {
  CallBlock block;
  std::vector<Parameter> parameters;
  if (stream_.at_symbol("(")) parameters = parse_parameters();
  block.call = parse_expression();
  if (!std::holds_alternative<Call>(block.call->node)) stream_.fail_here("expected a call");
  block.caller = parse_macro_body("endcall");
  block.caller.name = "caller";
  block.caller.parameters = std::move(parameters);
  return block;
}

FilterBlock Parser::parse_filter_block() {
  FilterBlock block;
  do {
    block.filters.push_back(parse_filter_call());
  } while (stream_.accept_symbol("|"));
  block.body = parse_block("endfilter");
  return block;
}

Generation Parser::parse_generation() {
  int outer_loops = std::exchange(loops_, 0);
  Generation generation{parse_block("endgeneration")};
  loops_ = outer_loops;
  return generation;
}

Statement Parser::parse_loop_control(bool is_break) {
  int line = stream_.current().line;
  if (loops_ == 0) {
    stream_.fail_here("'{}' outside of a loop", is_break ? "break" : "continue");
  }
  if (is_break) return {line, Break{}};
  return {line, Continue{}};
}

std::string Parser::parse_variable_name() {
  std::string name = stream_.expect_name();
  for (std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) stream_.fail_here("cannot assign to '{}'", name);
  }
  return name;
}

Target Parser::parse_single_target(bool allow_member) {
  if (stream_.accept_symbol("(")) {
    Level level(*this);
    Target target = parse_target("", allow_member);
    stream_.expect_symbol(")");
    return target;
  }
  Target target;
  target.name = parse_variable_name();
  if (allow_member && stream_.accept_symbol(".")) target.member = stream_.expect_name();
  return target;
}

Target Parser::parse_target(std::string_view end_name, bool allow_member) {
  Target first = parse_single_target(allow_member);
  if (!stream_.at_symbol(",")) return first;
  Target tuple;
  tuple.is_tuple = true;
  tuple.items.push_back(std::move(first));
  while (stream_.accept_symbol(",")) {
    bool ends = stream_.at_symbol(")") || stream_.at(TokenKind::kBlockEnd) ||
                (!end_name.empty() && stream_.at_name(end_name));
    if (ends) break;
    tuple.items.push_back(parse_single_target(allow_member));
  }
  return tuple;
}

std::vector<Parameter> Parser::parse_parameters() {
  std::vector<Parameter> parameters;
  stream_.expect_symbol("(");
  while (!stream_.at_symbol(")")) {
    if (!parameters.empty()) stream_.expect_symbol(",");
    Parameter parameter;
    parameter.name = parse_variable_name();
    if (stream_.accept_symbol("=")) {
      parameter.default_value = parse_expression();
    } else if (!parameters.empty() && parameters.back().default_value != nullptr) {
      stream_.fail_here("parameter '{}' without a default follows one with", parameter.name);
    }
    parameters.push_back(std::move(parameter));
  }
  stream_.expect_symbol(")");
  return parameters;
}

}  // namespace

Body parse(std::string_view source, std::string_view name) {
  return Parser(TokenStream(tokenize(source, name), name)).parse_template();
}

}  // namespace millrace::jinja
