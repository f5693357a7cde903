// Answers in a form: the grammar that holds a sequence to it.
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
