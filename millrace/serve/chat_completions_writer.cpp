// OpenAI's chat completion: an object, or a stream of chunks.
#include "millrace/serve/openai_writers.h"

namespace millrace::serve {
namespace {

Json call_json(const ToolCallDelta& call) {
  Json json = {{"index", call.index}};
  Json function = Json::object();
  if (!call.id.empty()) {
    json["id"] = call.id;
    json["type"] = "function";
    function["name"] = call.name;
  }
  function["arguments"] = call.arguments;
  json["function"] = std::move(function);
  return json;
}

class ChatCompletionsWriter final : public AnswerWriter {
 public:
  explicit ChatCompletionsWriter(const ChatCompletionsOptions& options) : options_(options) {}

  std::string begin(const Answer& answer) override {
    std::string text;
    for (size_t i = 0; i < answer.choices.size(); ++i) {
      text += chunk(answer, i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    }
    return text;
  }

  std::string add(const Answer& answer, const ChoiceDelta& delta) override {
    Json json = Json::object();
    if (!delta.text.reasoning.empty()) json["reasoning_content"] = delta.text.reasoning;
    if (!delta.text.content.empty()) json["content"] = delta.text.content;
    for (const ToolCallDelta& call : delta.text.tool_calls) {
      json["tool_calls"].push_back(call_json(call));
    }
    return chunk(answer, delta.choice, std::move(json),
                 delta.scores.empty() ? Json() : logprobs(delta.scores), nullptr);
  }

  std::string end_choice(const Answer& answer, size_t choice) override {
    return chunk(answer, choice, Json::object(), nullptr, answer.choices[choice].finish_reason);
  }

  std::string end(const Answer& answer) override {
    std::string text;
    if (options_.stream_usage) {
      Json json = head(answer, "chat.completion.chunk");
      json["choices"] = Json::array();
      json["usage"] = usage_json(answer.usage);
      text = event(json);
    }
    return text + "data: [DONE]\n\n";
  }

  std::string error(const ApiError& error) override { return event(openai_error(error)); }

  Json whole(const Answer& answer) override {
    Json json = head(answer, "chat.completion");
    json["choices"] = Json::array();
    for (size_t i = 0; i < answer.choices.size(); ++i) {
      const Choice& choice = answer.choices[i];
      json["choices"].push_back({{"index", i},
                                 {"message", message(choice)},
                                 {"logprobs", options_.scores ? logprobs(choice.scores) : Json()},
                                 {"finish_reason", choice.finish_reason}});
    }
    json["usage"] = usage_json(answer.usage);
    return json;
  }

 private:
  static Json head(const Answer& answer, const char* object) {
    return {{"id", "chatcmpl-" + answer.id},
            {"object", object},
            {"created", answer.created},
            {"model", answer.model},
            {"system_fingerprint", nullptr}};
  }

  static Json logprobs(std::span<const TokenScore> scores) {
    return {{"content", scores_json(scores)}, {"refusal", nullptr}};
  }

  static Json message(const Choice& choice) {
    Json json = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
    if (!choice.reasoning.empty()) json["reasoning_content"] = choice.reasoning;
    if (choice.tool_calls.empty()) return json;
    if (choice.content.empty()) json["content"] = nullptr;
    for (const ToolCall& call : choice.tool_calls) {
      json["tool_calls"].push_back(
          {{"id", call.id},
           {"type", "function"},
           {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    return json;
  }

  std::string chunk(const Answer& answer, size_t choice, Json delta, Json scores, Json reason) {
    Json json = head(answer, "chat.completion.chunk");
    json["choices"] = Json::array({{{"index", choice},
                                    {"delta", std::move(delta)},
                                    {"logprobs", std::move(scores)},
                                    {"finish_reason", std::move(reason)}}});
    if (options_.stream_usage) json["usage"] = nullptr;
    return event(json);
  }

  ChatCompletionsOptions options_;
};

Json score_json(const TokenScore& score) {
  std::vector<int> bytes;
  for (char c : score.bytes) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", score.bytes},
          {"logprob", shortest(score.log_probability.value_or(0.0f))},
          {"bytes", bytes}};
}

}  // namespace

Json scores_json(std::span<const TokenScore> scores) {
  Json list = Json::array();
  for (const TokenScore& score : scores) {
    Json token = score_json(score);
    token["top_logprobs"] = Json::array();
    for (const TokenScore& other : score.top) token["top_logprobs"].push_back(score_json(other));
    list.push_back(std::move(token));
  }
  return list;
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

std::unique_ptr<AnswerWriter> chat_completions_writer(const ChatCompletionsOptions& options) {
  return std::make_unique<ChatCompletionsWriter>(options);
}

}  // namespace millrace::serve
