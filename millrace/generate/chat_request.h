// From the messages of an API's request to the prompt that a model is to continue.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/chat_syntax.h"
#include "millrace/generate/language_model.h"

namespace millrace {

/// A request's messages, OpenAI's, as the family's template wants them:
///   - content is a string (parts of text are joined), role `developer` is `system` where the
///     template does not know it
///   - a tool call's arguments are an object or its text, whichever the template takes; where it
///     takes no calls, they are in the content as the model would write them, and a tool's message
///     is a user's
///   - ids of calls have the family's form; a tool's message has the name of its function
///   - a message with several calls becomes several where the template takes one
/// Throws Error that names the field ("messages[2].content[0].type: …") for roles and parts that
/// no text model takes (image_url, …), missing content, calls without a function, arguments that
/// are no JSON object, tool messages that answer no call.
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
/// offered as the template does. Where it knows none, they stand in the system message, with how
/// to call them in the syntax that is read from the model's answer (Hermes' unless the family has
/// one); where there is no system role either, in the first user message. Throws Error that names
/// the field, or the template's line where the template refuses the conversation.
ChatPrompt chat_prompt(const LanguageModel& model, const ChatSyntax& syntax, const Json& messages,
                       const ChatPromptOptions& options = {});

}  // namespace millrace
