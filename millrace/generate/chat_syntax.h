// How a family of models writes reasoning and tool calls in a chat, as data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/language_model.h"

namespace millrace {

/// What stands between the markers of a call.
enum class CallNotation : uint8_t {
  json,        ///< {"name": "f", "arguments": {…}}, one or several, or an array of them
  keyed_json,  ///< [{"f": {…}}]
  named,       ///< the name, then a JSON object or tagged parameters
  python,      ///< [f(a=1, b='two')]
  channels,    ///< gpt-oss' messages to recipients
};

/// What a marker marks.
enum class MarkerRole : uint8_t {
  reasoning_open,
  reasoning_close,
  answer_open,  ///< around the content, after reasoning: left out
  answer_close,
  section_open,  ///< around all calls
  section_close,
  call_open,
  call_close,
  arguments_open,  ///< between name and arguments
  call_id,         ///< between name and the model's own id for the call
  key_open,        ///< tagged parameters: around a name and a value
  key_close,
  value_open,
  value_close,
  channel,  ///< gpt-oss: the parts of a message
  constrain,
  message,
  message_start,
  message_end,
};

struct Marker {
  MarkerRole role;
  std::string text;
  bool token = false;  ///< it begins with a token of its own: only that token is the marker
};

/// What a family's ids of calls look like; templates refuse others.
enum class CallIdForm : uint8_t {
  openai,     ///< "call_" and 24 letters and digits
  nine,       ///< Mistral's nine letters and digits
  functions,  ///< Kimi's functions.name:index, counted through the conversation
};

/// What is around several calls.
enum class CallGrouping : uint8_t {
  each,   ///< nothing: each has its markers
  list,   ///< the markers of a call, or of the section, are around all of them
  array,  ///< and they are a JSON array
  one,    ///< there is one call in an answer
};

/// How a template takes the calls of earlier turns.
enum class CallHistory : uint8_t {
  objects,  ///< as tool_calls whose arguments are objects
  texts,    ///< as tool_calls whose arguments are JSON text
  content,  ///< not at all: they are written into the content, in the family's syntax
};

/// What clients and templates call the reasoning of a message.
constexpr const char* kReasoningFields[] = {"reasoning_content", "reasoning", "thinking"};

struct ChatSyntax {
  std::string family;  ///< for people: "hermes", "mistral", …
  CallNotation calls = CallNotation::json;
  CallIdForm ids = CallIdForm::openai;
  std::vector<Marker> markers;
  std::string name_end;  ///< ends a name where no marker does: ">" of <function=f>
  std::string key_end;   ///< as name_end, for the name of a tagged parameter
  CallGrouping grouping = CallGrouping::each;
  std::string name_key = "name";  ///< of JSON calls
  std::string arguments_key = "arguments";
  std::string line = "\n";          ///< between the parts of a call, if anything
  bool code_block = false;          ///< JSON arguments stand in a Markdown block
  bool values_on_lines = false;     ///< newlines around the value of a tagged parameter are no part
  bool cdata = false;               ///< and <![CDATA[…]]> may be around it
  bool calls_begin_answer = false;  ///< a call needs no marker where it begins the answer
  /// Whether the template shows tools to the model; else chat_prompt (chat_request.h) does.
  bool template_takes_tools = false;
  CallHistory history = CallHistory::content;
  bool empty_content = false;  ///< a message of calls without content must have an empty one
  /// The member of a message in which the template takes earlier reasoning.
  std::string reasoning_field = "reasoning_content";

  /// The text of a marker; empty where the family has none such.
  std::string_view marker(MarkerRole role) const;
};

/// The syntax of the models that have this template; Hermes' where it shows none ("generic"): most
/// models have learned it, if any. `tokenizer` says which markers are tokens of
/// their own (none are without it) and whether a model thinks whose template does not say so.
ChatSyntax chat_syntax(std::string_view template_source, const Tokenizer* tokenizer = nullptr);
ChatSyntax chat_syntax(const LanguageModel& model);

/// Sets `history`, `template_takes_tools` and `reasoning_field` by what the template makes of a
/// conversation with tools, reasoning and a call in it. Done by chat_syntax(model).
void probe_template(ChatSyntax& syntax, const ChatTemplate& chat_template);

}  // namespace millrace
