#include "millrace/serve/anthropic_writer.h"

namespace millrace::serve {
namespace {

/// `{}` for a call without arguments, and for arguments that the length cut.
Json input_of(const ToolCall& call) {
  Json input = Json::parse(call.arguments, nullptr, false);
  return input.is_object() ? input : Json::object();
}

Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

std::string_view stop_reason(const Choice& choice) {
  if (choice.finish_reason == "length") return "max_tokens";
  if (!choice.tool_calls.empty()) return "tool_use";
  return choice.stop_sequence.empty() ? "end_turn" : "stop_sequence";
}

Json stop_sequence(const Choice& choice) {
  return choice.stop_sequence.empty() ? Json() : Json(choice.stop_sequence);
}

/// A stream has blocks one after another: one of them is open at a time.
class AnthropicWriter final : public AnswerWriter {
 public:
  std::string begin(const Answer& answer) override {
    Json message = head(answer);
    message["content"] = Json::array();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = usage_of(answer.usage);
    return tell({{"type", "message_start"}, {"message", std::move(message)}}) +
           tell({{"type", "ping"}});
  }

  std::string add(const Answer&, const ChoiceDelta& delta) override {
    std::string text;
    if (!delta.text.reasoning.empty()) {
      text += open(Block::thinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      text += piece({{"type", "thinking_delta"}, {"thinking", delta.text.reasoning}});
    }
    if (!delta.text.content.empty()) {
      text += open(Block::text, {{"type", "text"}, {"text", ""}});
      text += piece({{"type", "text_delta"}, {"text", delta.text.content}});
    }
    for (const ToolCallDelta& call : delta.text.tool_calls) {
      if (!call.id.empty()) {
        text += close();
        text += open(Block::tool_use, {{"type", "tool_use"},
                                       {"id", call.id},
                                       {"name", call.name},
                                       {"input", Json::object()}});
      }
      if (!call.arguments.empty()) {
        text += piece({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
      }
    }
    return text;
  }

  std::string end_choice(const Answer&, size_t) override { return close(); }

  std::string end(const Answer& answer) override {
    const Choice& choice = answer.choices.front();
    return tell({{"type", "message_delta"},
                 {"delta",
                  {{"stop_reason", stop_reason(choice)}, {"stop_sequence", stop_sequence(choice)}}},
                 {"usage", usage_of(answer.usage)}}) +
           tell({{"type", "message_stop"}});
  }

  std::string error(const ApiError& error) override {
    return event(anthropic_error(error, ""), "error");
  }

  Json whole(const Answer& answer) override {
    const Choice& choice = answer.choices.front();
    Json content = Json::array();
    if (!choice.reasoning.empty()) {
      content.push_back({{"type", "thinking"}, {"thinking", choice.reasoning}, {"signature", ""}});
    }
    if (!choice.content.empty()) content.push_back({{"type", "text"}, {"text", choice.content}});
    for (const ToolCall& call : choice.tool_calls) {
      content.push_back(
          {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", input_of(call)}});
    }
    Json message = head(answer);
    message["content"] = std::move(content);
    message["stop_reason"] = stop_reason(choice);
    message["stop_sequence"] = stop_sequence(choice);
    message["usage"] = usage_of(answer.usage);
    return message;
  }

  Json error_json(const ApiError& error) override { return anthropic_error(error, ""); }

 private:
  enum class Block : uint8_t { none, thinking, text, tool_use };

  static Json head(const Answer& answer) {
    return {{"id", "msg_" + answer.id},
            {"type", "message"},
            {"role", "assistant"},
            {"model", answer.model}};
  }

  static std::string tell(const Json& data) {
    return event(data, data["type"].get_ref<const std::string&>());
  }

  std::string open(Block kind, Json block) {
    if (open_ == kind) return {};
    std::string text = close();
    open_ = kind;
    return text + tell({{"type", "content_block_start"},
                        {"index", index_},
                        {"content_block", std::move(block)}});
  }

  std::string piece(Json delta) {
    return tell({{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  std::string close() {
    if (open_ == Block::none) return {};
    open_ = Block::none;
    return tell({{"type", "content_block_stop"}, {"index", index_++}});
  }

  Block open_ = Block::none;
  int index_ = 0;
};

}  // namespace

std::unique_ptr<AnswerWriter> anthropic_writer() {
  return std::make_unique<AnthropicWriter>();
}

}  // namespace millrace::serve
