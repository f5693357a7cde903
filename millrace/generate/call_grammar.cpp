#include "millrace/generate/call_grammar.h"

#include <algorithm>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/generate/answer/call_writing.h"
#include "millrace/generate/answer/offered_tools.h"
#include "millrace/generate/grammar/json_schema.h"

namespace millrace {
namespace {

/// Builds an answer's grammar around rule 0.
class AnswerGrammar {
 public:
  AnswerGrammar(const ChatSyntax& syntax, const Tokenizer& tokenizer)
      : syntax_(syntax), tokenizer_(tokenizer), root_(grammar_.add_rule("answer")) {
    ByteSet all;
    all.add(0, 255);
    anything_ = grammar_.repeat(grammar_.bytes(all), 0, kUnbounded);
    ByteSet space;
    space.add(' ', ' ');
    space.add('\n', '\n');
    spaces_ = grammar_.repeat(grammar_.bytes(space), 0, 2);
  }

  Grammar finish(std::string_view prompt_tail, Expression answer) {
    grammar_.define(root_, grammar_.sequence({reasoning(prompt_tail), answer}));
    return std::move(grammar_);
  }

  Expression content(const Grammar& content, std::string_view prompt_tail) {
    Expression inside = grammar_.call(grammar_.import(content));
    if (syntax_.calls != CallNotation::channels || in_message(prompt_tail)) return inside;
    return grammar_.sequence(
        {text(marker(MarkerRole::channel) + "final" + marker(MarkerRole::message)), inside});
  }

  /// Calls, of which the first `begun` bytes are there already.
  Expression calls(const Json& tools, const CallDemand& demand, size_t begun = 0) {
    const CallWriting writing = call_writing(syntax_);
    CallWriting first = writing;
    (first.begin.empty() ? first.before_name : first.begin).erase(0, begun);
    const Expression one = any_call(writing, tools, demand);
    const bool several =
        demand.parallel && demand.tool.empty() && syntax_.grouping != CallGrouping::one;
    Expression more = grammar_.repeat(grammar_.sequence({text(writing.between), one}), 0,
                                      several ? kUnbounded : 0);
    return grammar_.sequence({text(first.begin), begun == 0 ? one : any_call(first, tools, demand),
                              more, text(writing.end)});
  }

  /// Any text, and calls from where the marker stands that begins them.
  Expression text_and_calls(const Json& tools, const CallDemand& demand) {
    std::string begin = call_marker(syntax_);
    require(!begin.empty(),
            "tools: this model's calls begin with no marker, so that they cannot be "
            "held to their schemas unless tool_choice demands them");
    const AddedToken* token = special_at(begin);
    if (token != nullptr) begin = token->content;
    const Rule after = grammar_.add_rule("calls");
    const Rule text = token != nullptr ? text_to(token->id, after) : text_to(begin, after);
    std::vector<Expression> parts = {calls(tools, demand, begin.size())};
    if (demand.parallel) parts.push_back(grammar_.call(text));
    grammar_.define(after, grammar_.sequence(parts));
    return grammar_.call(text);
  }

 private:
  std::string marker(MarkerRole role) const { return std::string(syntax_.marker(role)); }

  /// Literal text, in which special tokens are tokens.
  Expression text(std::string_view literal) {
    std::vector<Expression> parts;
    size_t begin = 0, at = 0;
    while (at < literal.size()) {
      const AddedToken* token = special_at(literal.substr(at));
      if (token == nullptr) {
        ++at;
        continue;
      }
      if (at > begin) parts.push_back(grammar_.literal(literal.substr(begin, at - begin)));
      parts.push_back(grammar_.token(token->id));
      begin = at += token->content.size();
    }
    if (at > begin) parts.push_back(grammar_.literal(literal.substr(begin)));
    return grammar_.sequence(parts);
  }

  const AddedToken* special_at(std::string_view rest) const {
    const AddedToken* longest = nullptr;
    for (const AddedToken& token : tokenizer_.definition().added_tokens) {
      bool here = !token.content.empty() && rest.starts_with(token.content) &&
                  tokenizer_.is_special(token.id);
      if (!here) continue;
      if (longest == nullptr || token.content.size() > longest->content.size()) longest = &token;
    }
    return longest;
  }

  Expression up_to(const std::string& end) {
    return grammar_.first(grammar_.sequence({anything_, text(end)}));
  }

  /// Text that may end anywhere, up to a token from which `after` goes on.
  Rule text_to(int32_t token, Rule after) {
    const Rule rule = grammar_.add_rule("text");
    ByteSet all;
    all.add(0, 255);
    const Expression again = grammar_.call(rule);
    grammar_.define(
        rule, grammar_.choice({grammar_.empty(), grammar_.sequence({grammar_.bytes(all), again}),
                               grammar_.sequence({grammar_.token(kAnySpecial), again}),
                               grammar_.sequence({grammar_.token(token), grammar_.call(after)})}));
    return rule;
  }

  /// The same up to a string: rule i has seen i bytes of it (Knuth, Morris & Pratt 1977).
  Rule text_to(const std::string& end, Rule after) {
    std::vector<Rule> rules;
    for (size_t i = 0; i < end.size(); ++i) rules.push_back(grammar_.add_rule("text"));
    for (size_t i = 0; i < end.size(); ++i) {
      std::vector<ByteSet> leads(end.size() + 1);  // to where each byte leads
      for (int byte = 0; byte < 256; ++byte) {
        const std::string seen = end.substr(0, i) + static_cast<char>(byte);
        size_t most = std::min(seen.size(), end.size());
        while (!seen.ends_with(std::string_view(end).substr(0, most))) --most;
        leads[most].add(static_cast<uint8_t>(byte), static_cast<uint8_t>(byte));
      }
      std::vector<Expression> ways = {
          grammar_.empty(),
          grammar_.sequence({grammar_.token(kAnySpecial), grammar_.call(rules[0])})};
      for (size_t to = 0; to < leads.size(); ++to) {
        if (leads[to].empty()) continue;
        ways.push_back(grammar_.sequence(
            {grammar_.bytes(leads[to]), grammar_.call(to < end.size() ? rules[to] : after)}));
      }
      grammar_.define(rules[i], grammar_.choice(ways));
    }
    return rules[0];
  }

  Expression any_call(const CallWriting& writing, const Json& tools, const CallDemand& demand) {
    std::vector<Expression> choices;
    for (const Json& tool : tools) {
      const Json& function = tool_function(tool);
      if (!function.is_object() || !function.contains("name")) continue;
      std::string name = function["name"].get<std::string>();
      if (!demand.tool.empty() && name != demand.tool) continue;
      choices.push_back(one_call(writing, function, name));
    }
    require(!choices.empty(), "tool_choice: {} is not among the tools", quote(demand.tool));
    return grammar_.choice(choices);
  }

  bool in_message(std::string_view prompt_tail) const {
    return prompt_tail.ends_with(syntax_.marker(MarkerRole::message));
  }

  /// What may or must come before the answer.
  Expression reasoning(std::string_view prompt_tail) {
    if (syntax_.calls == CallNotation::channels) {
      if (in_message(prompt_tail)) return grammar_.empty();
      return grammar_.optional(grammar_.sequence(
          {text(marker(MarkerRole::channel) + "analysis" + marker(MarkerRole::message)),
           up_to(marker(MarkerRole::message_end)),
           text(marker(MarkerRole::message_start) + "assistant")}));
    }
    std::string open = marker(MarkerRole::reasoning_open);
    if (open.empty()) return grammar_.empty();
    std::string close = marker(MarkerRole::reasoning_close);
    while (!prompt_tail.empty() && (prompt_tail.back() == '\n' || prompt_tail.back() == ' ')) {
      prompt_tail.remove_suffix(1);
    }
    Expression rest = grammar_.sequence({up_to(close), spaces_});
    if (prompt_tail.ends_with(open)) return rest;
    if (prompt_tail.ends_with(close)) return grammar_.empty();
    return grammar_.optional(grammar_.sequence({text(open), rest}));
  }

  Expression one_call(const CallWriting& writing, const Json& function, const std::string& name) {
    std::vector<Expression> parts = {text(writing.before_name), grammar_.literal(name)};
    if (writing.has_index) {
      ByteSet digits;
      digits.add('0', '9');
      parts.push_back(grammar_.literal(":"));
      parts.push_back(grammar_.repeat(grammar_.bytes(digits), 1, 3));
    }
    parts.push_back(text(writing.after_name));
    auto found = function.find("parameters");
    Json schema = found == function.end() || !found->is_object() ? Json::object() : Json(*found);
    if (!schema.contains("type")) schema["type"] = "object";
    try {
      parts.push_back(writing.tagged ? tagged(writing, schema) : json(schema));
    } catch (const Error& error) {
      fail("tools: the parameters of {}: {}", quote(name), error.what());
    }
    Expression after = text(writing.after_arguments);
    // gpt-oss' <|call|> ends the generation, and so is never a part of the text.
    bool ends = syntax_.calls == CallNotation::channels;
    parts.push_back(ends ? grammar_.optional(after) : after);
    return grammar_.sequence(parts);
  }

  Expression json(const Json& schema) {
    return grammar_.call(grammar_.import(grammar_from_json_schema(schema)));
  }

  struct Parameter {
    Expression expression;
    bool required;
  };

  Expression tagged(const CallWriting& writing, const Json& schema) {
    OfferedTools types(Json::array({{{"name", "f"}, {"parameters", schema}}}));
    std::vector<std::string> required;
    if (schema.contains("required") && schema["required"].is_array()) {
      for (const Json& name : schema["required"]) {
        if (name.is_string()) required.push_back(name.get<std::string>());
      }
    }
    std::vector<Parameter> parameters;
    if (schema.contains("properties") && schema["properties"].is_object()) {
      for (const auto& [name, own] : schema["properties"].items()) {
        bool raw = writing.raw_strings && types.is_string("f", name);
        bool needed = std::find(required.begin(), required.end(), name) != required.end();
        parameters.push_back({parameter(writing, schema, name, own, raw), needed});
      }
    }
    return in_order(parameters, text(writing.between_values));
  }

  Expression parameter(const CallWriting& writing, const Json& schema, const std::string& name,
                       Json own, bool raw) {
    Expression before = text(writing.before_key + name + writing.after_key);
    if (raw && own.contains("enum") && own["enum"].is_array()) {
      std::vector<Expression> values;
      for (const Json& value : own["enum"]) {
        values.push_back(grammar_.literal(value.get<std::string>()));
      }
      return grammar_.sequence({before, grammar_.choice(values), text(writing.after_value)});
    }
    if (raw) return grammar_.sequence({before, up_to(writing.after_value)});
    for (const char* definitions : {"$defs", "definitions"}) {
      if (own.is_object() && schema.contains(definitions)) own[definitions] = schema[definitions];
    }
    return grammar_.sequence({before, json(own), text(writing.after_value)});
  }

  /// Those that are required and any of the others, in their order, with something between two.
  Expression in_order(const std::vector<Parameter>& parameters, Expression between) {
    std::vector<Expression> choices;  // by the first that is there
    for (size_t first = 0; first < parameters.size(); ++first) {
      std::vector<Expression> parts = {parameters[first].expression};
      for (size_t i = first + 1; i < parameters.size(); ++i) {
        Expression next = grammar_.sequence({between, parameters[i].expression});
        parts.push_back(parameters[i].required ? next : grammar_.optional(next));
      }
      choices.push_back(grammar_.sequence(parts));
      if (parameters[first].required) return grammar_.choice(choices);
    }
    choices.push_back(grammar_.empty());
    return grammar_.choice(choices);
  }

  const ChatSyntax& syntax_;
  const Tokenizer& tokenizer_;
  Grammar grammar_;
  Rule root_;
  Expression anything_, spaces_;
};

}  // namespace

Grammar call_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer, const Json& tools,
                     std::string_view prompt_tail, const CallDemand& demand) {
  AnswerGrammar builder(syntax, tokenizer);
  return builder.finish(prompt_tail, builder.calls(tools, demand));
}

Grammar strict_call_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer, const Json& tools,
                            std::string_view prompt_tail, bool parallel) {
  AnswerGrammar builder(syntax, tokenizer);
  return builder.finish(prompt_tail, builder.text_and_calls(tools, {"", parallel}));
}

std::string call_marker(const ChatSyntax& syntax) {
  if (syntax.calls == CallNotation::channels) return "";
  std::string marker(syntax.marker(MarkerRole::section_open));
  if (marker.empty()) marker = syntax.marker(MarkerRole::call_open);
  const CallWriting writing = call_writing(syntax);
  return (writing.begin + writing.before_name).starts_with(marker) ? marker : "";
}

Grammar content_grammar(const ChatSyntax& syntax, const Tokenizer& tokenizer,
                        std::string_view prompt_tail, const Grammar& content) {
  AnswerGrammar builder(syntax, tokenizer);
  return builder.finish(prompt_tail, builder.content(content, prompt_tail));
}

}  // namespace millrace
