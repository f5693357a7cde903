#include "millrace/serve/chat.h"

#include "millrace/generate/chat_request.h"

namespace millrace::serve {
namespace {

/// The tools that the model is shown and may call.
Json offered_tools(const Chat& chat) {
  using Kind = ToolChoice::Kind;
  if (chat.tools.is_null() || chat.tool_choice.kind == Kind::none) return nullptr;
  if (chat.tool_choice.kind != Kind::named) return chat.tools;
  Json named = Json::array();
  for (const Json& tool : chat.tools) {
    if (tool["function"]["name"] == chat.tool_choice.name) named.push_back(tool);
  }
  return named;
}

}  // namespace

void set_chat(AnswerRequest& request, const Chat& chat) {
  const ServedModel& model = *request.model.model;
  ChatPromptOptions options;
  options.tools = offered_tools(chat);
  options.documents = chat.documents;
  options.variables = chat.variables;
  ChatPrompt prompt = chat_prompt(model.language, model.syntax, chat.messages, options);
  request.prompts = {std::move(prompt.ids)};
  AnswerOptions answer;
  answer.tools = options.tools;
  answer.prompt_tail = std::move(prompt.tail);
  answer.earlier_calls = prompt.earlier_calls;
  answer.parallel_calls = chat.parallel_calls;
  request.chat = std::move(answer);
  request.named_call = chat.tool_choice.kind == ToolChoice::Kind::named;
  set_format(request, chat.format);
  set_demand(request, chat);
}

}  // namespace millrace::serve
