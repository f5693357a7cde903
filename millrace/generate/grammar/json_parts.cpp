#include "millrace/generate/grammar/json_parts.h"

#include <string>

#include "millrace/generate/grammar/regex.h"

namespace millrace {

JsonParts::JsonParts(Grammar& grammar)
    : grammar_(grammar),
      characters_(grammar, TextEncoding::utf8),
      gap_(grammar.add_rule("white space")),
      string_(grammar.add_rule("string")),
      number_(grammar.add_rule("number")),
      integer_(grammar.add_rule("integer")),
      value_(grammar.add_rule("value")),
      object_(grammar.add_rule("object")),
      array_(grammar.add_rule("array")) {
  auto regex = [&](std::string_view text) {
    return parse_regex(text, "JSON", Anchoring::whole, grammar_, characters_);
  };
  grammar.define(gap_, regex("(?: |\\n(?: {0,24}|\\t{1,8}))?"));
  colon_ = regex(": ?");
  comma_ = grammar.sequence({grammar.literal(","), gap()});
  boolean_ = grammar.choice({grammar.literal("true"), grammar.literal("false")});
  null_ = grammar.literal("null");
  string_character_ = make_string_character();
  grammar.define(string_, quoted(grammar.repeat(string_character_, 0, kUnbounded)));
  grammar.define(integer_, regex("-?[1-9][0-9]{0,17}|0"));
  grammar.define(number_,
                 regex("-?(?:0|[1-9][0-9]{0,15})(?:\\.[0-9]{1,16})?(?:[eE][-+]?[0-9]{1,2})?"));
  grammar.define(
      value_, grammar.choice({any_object(), any_array(), string(), number(), boolean(), null()}));
  const Expression member = grammar.sequence({string(), colon(), any_value()});
  grammar.define(object_, brackets('{', list(member, 0, kUnbounded), true, '}'));
  grammar.define(array_, brackets('[', list(any_value(), 0, kUnbounded), true, ']'));
}

Expression JsonParts::make_string_character() {
  auto regex = [&](std::string_view text) {
    return parse_regex(text, "JSON", Anchoring::whole, grammar_, characters_);
  };
  // Surrogates are written in pairs only: a reader may refuse others.
  return regex(
      "[^\"\\\\\\x00-\\x1f]|\\\\(?:[\"\\\\/bfnrt]|u(?:[0-9A-CEFa-cef][0-9A-Fa-f]{3}|"
      "[Dd](?:[0-7][0-9A-Fa-f]{2}|[89ABab][0-9A-Fa-f]{2}\\\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})))");
}

Expression JsonParts::quoted(Expression inside) {
  const Expression quote = grammar_.literal("\"");
  return grammar_.sequence({quote, inside, quote});
}

Expression JsonParts::name(std::string_view name) {
  return grammar_.sequence({grammar_.literal(to_json_text(std::string(name))), colon()});
}

Expression JsonParts::brackets(char open, Expression members, bool may_be_empty, char close) {
  const Expression full = grammar_.sequence({gap(), members, gap()});
  return grammar_.sequence({grammar_.literal(std::string(1, open)),
                            may_be_empty ? grammar_.optional(full) : full,
                            grammar_.literal(std::string(1, close))});
}

Expression JsonParts::list(Expression part, uint32_t min, uint32_t max) {
  const uint32_t more = max == kUnbounded ? kUnbounded : max - 1;
  const Expression again = grammar_.sequence({comma(), part});
  return grammar_.sequence({part, grammar_.repeat(again, min > 0 ? min - 1 : 0, more)});
}

Expression JsonParts::value(const Json& value) {
  if (!value.is_structured()) return grammar_.literal(to_json_text(value));
  std::vector<Expression> parts;
  for (const auto& [key, member] : value.items()) {
    if (!parts.empty()) parts.push_back(comma());
    if (value.is_object()) parts.push_back(name(key));
    parts.push_back(this->value(member));
  }
  const bool is_object = value.is_object();
  if (parts.empty()) return grammar_.literal(is_object ? "{}" : "[]");
  return brackets(is_object ? '{' : '[', grammar_.sequence(parts), false, is_object ? '}' : ']');
}

Grammar grammar_of_json_objects() {
  Grammar grammar;
  const Rule root = grammar.add_rule("JSON object");
  JsonParts parts(grammar);
  grammar.define(root, parts.any_object());
  return grammar;
}

}  // namespace millrace
