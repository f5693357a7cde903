// Answers in a form: the grammar that holds a sequence to it.
#include <algorithm>

#include "millrace/generate/call_grammar.h"
#include "millrace/generate/grammar/grammar_cache.h"
#include "millrace/serve/chat.h"

namespace millrace::serve {
namespace {

GrammarSource source_of(const ResponseFormat& format) {
  using Kind = ResponseFormat::Kind;
  switch (format.kind) {
    case Kind::json_schema:
      return {GrammarSource::Kind::json_schema, to_json_text(format.schema)};
    case Kind::grammar:
      return {GrammarSource::Kind::gbnf, format.source};
    case Kind::regex:
      return {GrammarSource::Kind::regex, format.source};
    default:
      return {GrammarSource::Kind::json_object, ""};
  }
}

/// Every sequence of the request begins at the beginning of the grammar.
void hold(AnswerRequest& request, std::shared_ptr<const CompiledGrammar> grammar) {
  request.constraint = [grammar = std::move(grammar)] { return grammar->start(); };
}

/// What a grammar is made for cannot be held to: the field is at fault.
template <typename Make>
std::shared_ptr<const CompiledGrammar> made(const std::string& param, const Make& make) {
  try {
    return make();
  } catch (const Error& error) {
    throw invalid_request(param, error.what());
  }
}

/// Calls that the model chooses to make are held to their schemas where a function is `strict`,
/// if the family's syntax tells calls from text and no other form is asked for.
void set_strict(AnswerRequest& request, const Chat& chat) {
  const bool strict = std::any_of(chat.tools.begin(), chat.tools.end(), [](const Json& tool) {
    return tool["function"].value("strict", Json()) == Json(true);
  });
  if (!strict || chat.format.kind != ResponseFormat::Kind::text) return;
  ServedModel& model = *request.model.model;
  if (call_marker(model.syntax).empty()) return;
  const std::string& tail = request.chat->prompt_tail;
  const std::string key =
      fmt::format("strict {} {}\n{}", chat.parallel_calls, to_json_text(chat.tools), tail);
  hold(request, made("tools", [&] {
         return model.grammars.get(key, [&] {
           return strict_call_grammar(model.syntax, model.language.tokenizer, chat.tools, tail,
                                      chat.parallel_calls);
         });
       }));
}

}  // namespace

void set_format(AnswerRequest& request, const ResponseFormat& format) {
  if (format.kind == ResponseFormat::Kind::text) return;
  ServedModel& model = *request.model.model;
  const GrammarSource source = source_of(format);
  hold(request, made(format.param, [&] {
         if (!request.chat) return model.grammars.get(source);
         // A chat's answer may begin with reasoning, and what the prompt ends with says how.
         const std::string& tail = request.chat->prompt_tail;
         const std::string key =
             fmt::format("content {} {}\n{}", static_cast<int>(source.kind), source.text, tail);
         return model.grammars.get(key, [&] {
           return content_grammar(model.syntax, model.language.tokenizer, tail,
                                  read_grammar(source));
         });
       }));
}

void set_demand(AnswerRequest& request, const Chat& chat) {
  using Kind = ToolChoice::Kind;
  const ToolChoice& choice = chat.tool_choice;
  if (choice.kind == Kind::automatic && chat.tools.is_array()) set_strict(request, chat);
  if (choice.kind != Kind::required && choice.kind != Kind::named) return;
  if (chat.format.kind != ResponseFormat::Kind::text) {
    throw invalid_request(chat.format.param,
                          "cannot be combined with a tool_choice that demands a call");
  }
  ServedModel& model = *request.model.model;
  const CallDemand demand{choice.name, chat.parallel_calls};
  const std::string& tail = request.chat->prompt_tail;
  const std::string key = fmt::format("call {} {} {}\n{}", choice.name, chat.parallel_calls,
                                      to_json_text(request.chat->tools), tail);
  hold(request, made("tools", [&] {
         return model.grammars.get(key, [&] {
           return call_grammar(model.syntax, model.language.tokenizer, request.chat->tools, tail,
                               demand);
         });
       }));
  request.chat->demanded = true;
}

}  // namespace millrace::serve
