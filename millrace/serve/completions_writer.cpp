// OpenAI's plain completion: an object, or a stream of chunks.
#include <algorithm>

#include "millrace/serve/openai_writers.h"

namespace millrace::serve {
namespace {

/// Offsets count characters: of a character whose bytes several tokens share, the first has it.
size_t characters(std::string_view bytes) {
  return static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

class CompletionsWriter final : public AnswerWriter {
 public:
  explicit CompletionsWriter(CompletionsOptions options) : options_(std::move(options)) {}

  std::string begin(const Answer& answer) override {
    offsets_.assign(answer.choices.size(), 0);
    std::string text;
    for (size_t i = 0; i < options_.echo.size(); ++i) {
      text += chunk(answer, i, options_.echo[i], {}, nullptr);
    }
    return text;
  }

  std::string add(const Answer& answer, const ChoiceDelta& delta) override {
    return chunk(answer, delta.choice, delta.text.content, delta.scores, nullptr);
  }

  std::string end_choice(const Answer& answer, size_t choice) override {
    return chunk(answer, choice, "", {}, answer.choices[choice].finish_reason);
  }

  std::string end(const Answer& answer) override {
    std::string text;
    if (options_.stream_usage) {
      Json json = head(answer);
      json["choices"] = Json::array();
      json["usage"] = usage_json(answer.usage);
      text = event(json);
    }
    return text + "data: [DONE]\n\n";
  }

  std::string error(const ApiError& error) override { return event(openai_error(error)); }

  Json whole(const Answer& answer) override {
    offsets_.assign(answer.choices.size(), 0);
    Json json = head(answer);
    json["choices"] = Json::array();
    for (size_t i = 0; i < answer.choices.size(); ++i) {
      const Choice& choice = answer.choices[i];
      const std::string echo = options_.echo.empty() ? "" : options_.echo[i];
      json["choices"].push_back({{"index", i},
                                 {"text", echo + choice.content},
                                 {"logprobs", scores_json(i, choice.scores)},
                                 {"finish_reason", choice.finish_reason}});
    }
    json["usage"] = usage_json(answer.usage);
    return json;
  }

 private:
  static Json head(const Answer& answer) {
    return {{"id", "cmpl-" + answer.id},
            {"object", "text_completion"},
            {"created", answer.created},
            {"model", answer.model},
            {"system_fingerprint", nullptr}};
  }

  /// The four lists side by side of the first completions API.
  Json scores_json(size_t choice, std::span<const TokenScore> scores) {
    if (!options_.scores) return nullptr;
    Json tokens = Json::array(), values = Json::array(), top = Json::array();
    Json offsets = Json::array();
    for (const TokenScore& score : scores) {
      tokens.push_back(score.bytes);
      values.push_back(score.log_probability ? shortest(*score.log_probability) : Json());
      offsets.push_back(offsets_[choice]);
      offsets_[choice] += characters(score.bytes);
      // Tokens of the same text are one key; the likeliest comes first and stays.
      Json others = Json::object();
      for (const TokenScore& other : score.top) {
        if (!others.contains(other.bytes)) others[other.bytes] = shortest(*other.log_probability);
      }
      top.push_back(score.log_probability ? std::move(others) : Json());
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(top)},
            {"text_offset", std::move(offsets)}};
  }

  std::string chunk(const Answer& answer, size_t choice, const std::string& text,
                    std::span<const TokenScore> scores, Json reason) {
    Json json = head(answer);
    json["choices"] =
        Json::array({{{"index", choice},
                      {"text", text},
                      {"logprobs", scores.empty() ? Json() : scores_json(choice, scores)},
                      {"finish_reason", std::move(reason)}}});
    if (options_.stream_usage) json["usage"] = nullptr;
    return event(json);
  }

  CompletionsOptions options_;
  std::vector<size_t> offsets_;  // characters of each choice's text that were scored
};

}  // namespace

std::unique_ptr<AnswerWriter> completions_writer(CompletionsOptions options) {
  return std::make_unique<CompletionsWriter>(std::move(options));
}

}  // namespace millrace::serve
