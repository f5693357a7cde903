// From the messages of an API's request to the prompt that a model is to continue.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/chat_syntax.h"
#include "millrace/generate/language_model.h"

namespace millrace {

/// A request's messages, OpenAI's, as chat templates want them: content a string (parts of text are
/// joined), a tool call's arguments an object, the name of its function in a tool's message, ids of
/// calls in the family's form, a role that the template does not know by the one that it does
/// (`developer` → `system`). `messages` begins the field names in errors.
///
/// Throws Error that names the field ("messages[2].content[0].type: …") for roles and parts that
/// no text model takes (image_url, …), missing content, calls without a function, tool messages
/// without tool_call_id.
Json normalise_messages(const Json& messages, const ChatSyntax& syntax,
                        std::string_view template_source);

struct ChatPromptOptions {
  Json tools;      ///< OpenAI's, or null
  Json documents;  ///< an array of objects, or null
  /// For the template by name: {"enable_thinking": false, "reasoning_effort": "low"}.
  Json variables = Json::object();
};

struct ChatPrompt {
  std::vector<int32_t> ids;
  std::string tail;       ///< AnswerOptions::prompt_tail
  int earlier_calls = 0;  ///< AnswerOptions::earlier_calls
};

/// The prompt of a conversation as a request gives it (normalise_messages is done here). Tools are
/// offered as the template does. Where it knows none, they stand in the system message in Hermes'
/// form, which most models understand, and calls in the history are written in it.
ChatPrompt chat_prompt(const LanguageModel& model, const ChatSyntax& syntax, const Json& messages,
                       const ChatPromptOptions& options);

}  // namespace millrace
