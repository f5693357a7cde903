#include "millrace/serve/ollama_writer.h"

#include <fmt/chrono.h>

#include <ctime>

namespace millrace::serve {
namespace {

int64_t nanoseconds(double seconds) {
  return static_cast<int64_t>(seconds * 1e9);
}

std::string line(const Json& json) {
  return to_json_text(json) + "\n";
}

class OllamaWriter final : public AnswerWriter {
 public:
  explicit OllamaWriter(bool chat) : chat_(chat) {}

  const char* content_type() const override { return "application/x-ndjson"; }

  std::string begin(const Answer&) override { return {}; }

  std::string add(const Answer& answer, const ChoiceDelta& delta) override {
    // Arguments are objects here, so calls wait until they are whole.
    if (delta.text.content.empty() && delta.text.reasoning.empty()) return {};
    return line(part(answer, delta.text.content, delta.text.reasoning, {}, false));
  }

  std::string end_choice(const Answer& answer, size_t choice) override {
    const std::vector<ToolCall>& calls = answer.choices[choice].tool_calls;
    return calls.empty() ? std::string() : line(part(answer, "", "", calls, false));
  }

  std::string end(const Answer& answer) override {
    Json json = part(answer, "", "", {}, true);
    add_end(json, answer);
    return line(json);
  }

  std::string error(const ApiError& error) override { return line(ollama_error(error)); }
  Json error_json(const ApiError& error) override { return ollama_error(error); }

  Json whole(const Answer& answer) override {
    const Choice& choice = answer.choices.front();
    Json json = part(answer, choice.content, choice.reasoning, choice.tool_calls, true);
    add_end(json, answer);
    return json;
  }

 private:
  Json part(const Answer& answer, const std::string& text, const std::string& thinking,
            const std::vector<ToolCall>& calls, bool done) const {
    Json json = {{"model", answer.model}, {"created_at", timestamp(answer.created)}};
    if (chat_) {
      Json message = {{"role", "assistant"}, {"content", text}};
      if (!thinking.empty()) message["thinking"] = thinking;
      for (const ToolCall& call : calls) {
        Json arguments = Json::parse(call.arguments, nullptr, false);
        if (!arguments.is_object()) arguments = Json::object();
        message["tool_calls"].push_back(
            {{"id", call.id},
             {"function", {{"name", call.name}, {"arguments", std::move(arguments)}}}});
      }
      json["message"] = std::move(message);
    } else {
      json["response"] = text;
      if (!thinking.empty()) json["thinking"] = thinking;
    }
    json["done"] = done;
    return json;
  }

  static void add_end(Json& json, const Answer& answer) {
    const Usage& usage = answer.usage;
    const bool cut = answer.choices.front().finish_reason == "length";
    json["done_reason"] = cut ? "length" : "stop";
    json["total_duration"] = nanoseconds(usage.prefill_seconds + usage.decode_seconds);
    json["load_duration"] = 0;
    json["prompt_eval_count"] = usage.prompt_tokens;
    json["prompt_eval_duration"] = nanoseconds(usage.prefill_seconds);
    json["eval_count"] = usage.completion_tokens;
    json["eval_duration"] = nanoseconds(usage.decode_seconds);
  }

  bool chat_;
};

}  // namespace

std::string timestamp(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

std::unique_ptr<AnswerWriter> ollama_writer(bool chat) {
  return std::make_unique<OllamaWriter>(chat);
}

}  // namespace millrace::serve
