// How a family of models writes reasoning and tool calls in a chat, as data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/language_model.h"

namespace millrace {

/// What is between the markers of a call.
enum class CallNotation : uint8_t {
  none,        ///< the template knows no tools: they are offered in Hermes' form (chat_request.h)
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

struct ChatSyntax {
  std::string family;  ///< for people: "hermes", "mistral", …
  CallNotation calls = CallNotation::none;
  CallIdForm ids = CallIdForm::openai;
  std::vector<Marker> markers;
  std::string name_end;               ///< ends a name where no marker does: ">" of <function=f>
  std::string key_end;                ///< as name_end, for the name of a tagged parameter
  bool calls_begin_answer = false;    ///< a call needs no marker where it begins the answer
  bool template_takes_tools = false;  ///< the template shows tools to the model

  /// The text of a marker; empty where the family has none such.
  std::string_view marker(MarkerRole role) const;
};

/// The syntax of the models that have this template. `tokenizer` says which markers are tokens of
/// their own (none are without it) and whether a model thinks whose template does not say so.
ChatSyntax chat_syntax(std::string_view template_source, const Tokenizer* tokenizer = nullptr);
ChatSyntax chat_syntax(const LanguageModel& model);

}  // namespace millrace
