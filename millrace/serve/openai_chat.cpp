// POST /v1/chat/completions.
#include "millrace/serve/call.h"
#include "millrace/serve/chat.h"
#include "millrace/serve/openai.h"
#include "millrace/serve/openai_writers.h"

namespace millrace::serve {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

/// Fields of OpenAI's that would change the answer and that Millrace does not have.
void refuse_unsupported(Fields& fields) {
  fields.refuse("functions", "it is deprecated; use tools");
  fields.refuse("function_call", "it is deprecated; use tool_choice");
  fields.refuse("audio", "models write text here");
  fields.refuse("web_search_options", "nothing is searched here");
  fields.refuse("verbosity", "models have no such dial here", "medium");
  if (const Json* modalities = fields.array("modalities")) {
    for (const Json& one : *modalities) {
      if (one != "text") {
        throw invalid_request("modalities", "only \"text\" is supported", "unsupported_parameter");
      }
    }
  }
}

Chat read_chat(Fields& fields) {
  Chat chat;
  chat.messages = fields.required_array("messages");
  if (chat.messages.empty()) throw invalid_request("messages", "is empty");
  read_tools(fields, chat);
  chat.format = read_format(fields);
  if (const Json* documents = fields.array("documents")) chat.documents = *documents;
  if (const Json* variables = fields.object("chat_template_kwargs")) chat.variables = *variables;
  read_effort(fields, "reasoning_effort", chat);
  return chat;
}

void complete(const CallPtr& call, ModelHandle model, const std::string& name) {
  Fields fields(call->body);
  AnswerRequest request;
  call->fill(request);
  request.model = std::move(model);
  request.model_name = name;
  fields.accept({"model", "user", "metadata", "store", "safety_identifier", "prompt_cache_key",
                 "prompt_cache_retention", "prediction"});
  refuse_unsupported(fields);
  const Chat chat = read_chat(fields);
  read_sampling(fields, request);
  const auto older = fields.integer("max_tokens", 1, kMostTokens);
  request.max_tokens = fields.integer("max_completion_tokens", 1, kMostTokens);
  if (!request.max_tokens) request.max_tokens = older;

  ChatCompletionsOptions options;
  request.scores = options.scores = fields.boolean("logprobs").value_or(false);
  request.top_scores = static_cast<int32_t>(fields.integer("top_logprobs", 0, 20).value_or(0));
  if (request.top_scores > 0 && !request.scores) {
    throw invalid_request("top_logprobs", "needs logprobs to be true");
  }
  if (const Json* stream_options = fields.object("stream_options")) {
    Fields inner(*stream_options, "stream_options");
    if (!request.stream) throw invalid_request("stream_options", "needs stream to be true");
    options.stream_usage = inner.boolean("include_usage").value_or(false);
    inner.boolean("include_obfuscation");
  }
  set_chat(request, chat);
  call->answer(std::move(request), chat_completions_writer(options), Call::ignored_header(fields));
}

}  // namespace

void chat_completions(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name,
                   [call, name](ModelHandle model) { complete(call, std::move(model), name); });
}

}  // namespace millrace::serve
