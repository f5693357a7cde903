#include "millrace/serve/responses_writer.h"

#include "millrace/serve/openai_writers.h"

namespace millrace::serve {
namespace {

Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

/// A response's output is a list of items: reasoning, a message, calls. The stream tells of each
/// as it begins, grows and ends; one is open at a time.
class ResponsesWriter final : public AnswerWriter {
 public:
  ResponsesWriter(Json echoed, bool scores) : echoed_(std::move(echoed)), scores_(scores) {}

  std::string begin(const Answer& answer) override {
    const Json response = head(answer, "in_progress");
    // One after the other: the two sides of a + would be numbered in any order.
    const std::string created = tell("response.created", {{"response", response}});
    return created + tell("response.in_progress", {{"response", response}});
  }

  std::string add(const Answer& answer, const ChoiceDelta& delta) override {
    std::string out;
    if (!delta.text.reasoning.empty()) {
      out += open_text(answer, Kind::reasoning);
      text_ += delta.text.reasoning;
      out += tell_part("response.reasoning_text.delta", {{"delta", delta.text.reasoning}});
    }
    if (!delta.text.content.empty()) {
      out += open_text(answer, Kind::message);
      text_ += delta.text.content;
      for (const TokenScore& score : delta.scores) text_scores_.push_back(score);
      out += tell_part("response.output_text.delta",
                       {{"delta", delta.text.content},
                        {"logprobs", scores_ ? scores_json(delta.scores) : Json::array()}});
    }
    for (const ToolCallDelta& call : delta.text.tool_calls) {
      if (!call.id.empty()) out += open_call(answer, call);
      if (call.arguments.empty()) continue;
      text_ += call.arguments;
      out += tell(
          "response.function_call_arguments.delta",
          {{"item_id", item_id_}, {"output_index", output_.size()}, {"delta", call.arguments}});
    }
    return out;
  }

  std::string end_choice(const Answer& answer, size_t) override {
    cut_ = answer.choices.front().finish_reason == "length";
    return close();
  }

  std::string end(const Answer& answer) override {
    Json response = head(answer, cut_ ? "incomplete" : "completed");
    response["output"] = output_;
    finish(response, answer);
    return tell(cut_ ? "response.incomplete" : "response.completed", {{"response", response}});
  }

  std::string error(const ApiError& error) override {
    return tell("error", {{"code", error.code},
                          {"message", error.what()},
                          {"param", error.param.empty() ? Json() : Json(error.param)}});
  }

  Json whole(const Answer& answer) override {
    const Choice& choice = answer.choices.front();
    cut_ = choice.finish_reason == "length";
    Json response = head(answer, cut_ ? "incomplete" : "completed");
    Json& output = response["output"];
    if (!choice.reasoning.empty()) {
      output.push_back(item(Kind::reasoning, answer.id + "_0", choice.reasoning, "completed"));
    }
    if (!choice.content.empty() || choice.tool_calls.empty()) {
      if (scores_) text_scores_ = choice.scores;
      output.push_back(item(Kind::message, answer.id + "_1", choice.content, status()));
    }
    for (size_t i = 0; i < choice.tool_calls.size(); ++i) {
      const ToolCall& call = choice.tool_calls[i];
      output.push_back(call_item(fmt::format("fc_{}_{}", answer.id, i), call.id, call.name,
                                 call.arguments, status()));
    }
    finish(response, answer);
    return response;
  }

 private:
  enum class Kind : uint8_t { none, reasoning, message, call };

  const char* status() const { return cut_ ? "incomplete" : "completed"; }

  Json head(const Answer& answer, const char* state) const {
    Json response = {{"id", "resp_" + answer.id},
                     {"object", "response"},
                     {"created_at", answer.created},
                     {"status", state},
                     {"background", false},
                     {"error", nullptr},
                     {"incomplete_details", nullptr},
                     {"model", answer.model},
                     {"output", Json::array()},
                     {"previous_response_id", nullptr},
                     {"store", false},
                     {"usage", nullptr}};
    response.update(echoed_);
    return response;
  }

  void finish(Json& response, const Answer& answer) const {
    response["usage"] = usage_of(answer.usage);
    if (cut_) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  }

  Json part(Kind kind, const std::string& text) const {
    if (kind == Kind::reasoning) return {{"type", "reasoning_text"}, {"text", text}};
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", scores_ ? scores_json(text_scores_) : Json::array()}};
  }

  Json item(Kind kind, const std::string& id, const std::string& text, const char* state) const {
    Json content = Json::array();
    if (!text.empty() || state != std::string_view("in_progress")) {
      content.push_back(part(kind, text));
    }
    if (kind == Kind::reasoning) {
      return {{"id", "rs_" + id},
              {"type", "reasoning"},
              {"summary", Json::array()},
              {"content", std::move(content)},
              {"status", state}};
    }
    return {{"id", "msg_" + id},
            {"type", "message"},
            {"role", "assistant"},
            {"status", state},
            {"content", std::move(content)}};
  }

  static Json call_item(const std::string& id, const std::string& call_id, const std::string& name,
                        const std::string& arguments, const char* state) {
    return {{"id", id},     {"type", "function_call"}, {"call_id", call_id},
            {"name", name}, {"arguments", arguments},  {"status", state}};
  }

  std::string tell(const char* type, const Json& members) {
    Json data = {{"type", type}, {"sequence_number", sequence_number_++}};
    data.update(members);
    return event(data, type);
  }

  /// Of the open item's only part.
  std::string tell_part(const char* type, const Json& members) {
    Json data = {{"item_id", item_id_}, {"output_index", output_.size()}, {"content_index", 0}};
    data.update(members);
    return tell(type, data);
  }

  std::string open_text(const Answer& answer, Kind kind) {
    if (open_ == kind) return {};
    std::string out = close();
    open_ = kind;
    id_ = fmt::format("{}_{}", answer.id, output_.size());
    const Json begun = item(kind, id_, "", "in_progress");
    item_id_ = begun["id"];
    out += tell("response.output_item.added", {{"output_index", output_.size()}, {"item", begun}});
    return out + tell_part("response.content_part.added", {{"part", part(kind, "")}});
  }

  std::string open_call(const Answer& answer, const ToolCallDelta& call) {
    std::string out = close();
    open_ = Kind::call;
    item_id_ = fmt::format("fc_{}_{}", answer.id, output_.size());
    call_id_ = call.id;
    name_ = call.name;
    return out + tell("response.output_item.added",
                      {{"output_index", output_.size()},
                       {"item", call_item(item_id_, call_id_, name_, "", "in_progress")}});
  }

  /// Ends the open item, which then is one of the output.
  std::string close() {
    if (open_ == Kind::none) return {};
    std::string out;
    Json done;
    if (open_ == Kind::call) {
      done = call_item(item_id_, call_id_, name_, text_, status());
      out = tell("response.function_call_arguments.done", {{"item_id", item_id_},
                                                           {"output_index", output_.size()},
                                                           {"name", name_},
                                                           {"arguments", text_}});
    } else {
      done = item(open_, id_, text_, status());
      const bool reasoning = open_ == Kind::reasoning;
      Json members = {{"text", text_}};
      if (!reasoning) members["logprobs"] = scores_ ? scores_json(text_scores_) : Json::array();
      out = tell_part(reasoning ? "response.reasoning_text.done" : "response.output_text.done",
                      members);
      out += tell_part("response.content_part.done", {{"part", part(open_, text_)}});
    }
    out += tell("response.output_item.done", {{"output_index", output_.size()}, {"item", done}});
    output_.push_back(std::move(done));
    open_ = Kind::none;
    text_.clear();
    text_scores_.clear();
    return out;
  }

  Json echoed_;
  bool scores_;
  bool cut_ = false;
  int64_t sequence_number_ = 0;
  std::vector<Json> output_;  // items that have ended
  Kind open_ = Kind::none;
  std::string id_, item_id_, call_id_, name_;
  std::string text_;  // of the open item
  std::vector<TokenScore> text_scores_;
};

}  // namespace

std::unique_ptr<AnswerWriter> responses_writer(Json echoed, bool scores) {
  return std::make_unique<ResponsesWriter>(std::move(echoed), scores);
}

}  // namespace millrace::serve
