// Answers in a form: the grammar that holds a sequence to it.
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

/// A marker as the model writes it: one token, or its characters.
Expression marker(Grammar& grammar, std::string_view text, const Tokenizer& tokenizer) {
  const int32_t id = tokenizer.token_id(text);
  return id == kNoToken ? grammar.literal(text)
                        : grammar.choice({grammar.token(id), grammar.literal(text)});
}

/// Anything up to the end of the reasoning, and then the answer in its form. `open`: the prompt
/// has begun the reasoning; else the model may.
Grammar after_reasoning(const Grammar& answer, const ChatSyntax& syntax, const Tokenizer& tokenizer,
                        bool open) {
  Grammar grammar;
  const Rule root = grammar.add_rule("root");
  ByteSet all;
  all.add(0, 255);
  const Expression anything = grammar.repeat(
      grammar.choice({grammar.bytes(all), grammar.token(kAnySpecial)}), 0, kUnbounded);
  const Expression close = marker(grammar, syntax.marker(MarkerRole::reasoning_close), tokenizer);
  const Expression space = grammar.repeat(grammar.literal("\n"), 0, 2);
  Expression reasoning =
      grammar.sequence({grammar.first(grammar.sequence({anything, close})), space});
  if (!open) {
    reasoning = grammar.optional(grammar.sequence(
        {marker(grammar, syntax.marker(MarkerRole::reasoning_open), tokenizer), reasoning}));
  }
  grammar.define(root, grammar.sequence({reasoning, grammar.call(grammar.import(answer))}));
  return grammar;
}

bool reasons(const ChatSyntax& syntax) {
  return !syntax.marker(MarkerRole::reasoning_open).empty() &&
         !syntax.marker(MarkerRole::reasoning_close).empty();
}

std::shared_ptr<const CompiledGrammar> compiled(AnswerRequest& request,
                                                const ResponseFormat& format) {
  ServedModel& model = *request.model.model;
  const GrammarSource source = source_of(format);
  if (!request.chat || !reasons(model.syntax)) return model.grammars.get(source);
  const std::string& tail = request.chat->prompt_tail;
  const size_t opened = tail.rfind(model.syntax.marker(MarkerRole::reasoning_open));
  const size_t closed = tail.rfind(model.syntax.marker(MarkerRole::reasoning_close));
  const bool closed_last =
      closed != std::string::npos && (opened == std::string::npos || closed > opened);
  if (closed_last) return model.grammars.get(source);  // the prompt holds an empty reasoning
  const bool open = opened != std::string::npos;
  const std::string key =
      fmt::format("after reasoning {} {} {}", open, static_cast<int>(source.kind), source.text);
  return model.grammars.get(key, [&] {
    return after_reasoning(read_grammar(source), model.syntax, model.language.tokenizer, open);
  });
}

}  // namespace

void set_format(AnswerRequest& request, const ResponseFormat& format) {
  if (format.kind == ResponseFormat::Kind::text) return;
  try {
    request.constraint = [grammar = compiled(request, format)] { return grammar->start(); };
  } catch (const ApiError&) {
    throw;
  } catch (const Error& error) {
    throw invalid_request(format.param, error.what());
  }
}

}  // namespace millrace::serve
