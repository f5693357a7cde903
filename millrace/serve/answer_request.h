// What is asked of a model, in no API's words, and how it gets its answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/generate/chat_answer.h"
#include "millrace/generate/constraint.h"
#include "millrace/serve/answer.h"
#include "millrace/serve/engine.h"
#include "millrace/serve/http/exchange.h"
#include "millrace/serve/metrics.h"

namespace millrace::serve {

/// `n` answers to each of `prompts`; choice p · n + k is the k-th to prompt p.
struct AnswerRequest {
  ModelHandle model;
  std::string model_name;  ///< as the client wrote it
  std::vector<std::vector<int32_t>> prompts;
  int64_t n = 1;
  std::optional<int64_t> max_tokens;  ///< none: to the end of the context
  SamplingOptions sampling;           ///< choice i has the seed + i
  std::vector<std::string> stop;
  bool ignore_end = false;
  std::optional<AnswerOptions> chat;  ///< a chat's answer is parsed; none: plain text
  /// The constraint of one more sequence; null: none.
  std::function<std::unique_ptr<Constraint>()> constraint;
  bool scores = false;         ///< log-probabilities of the tokens
  int32_t top_scores = 0;      ///< and of so many of the likeliest
  bool prompt_scores = false;  ///< those of the prompt's tokens too, before the answer's
  bool named_call = false;     ///< the tool was named by the client: the reason to end is `stop`
  std::string client;
  std::string cache_scope;
  bool reuse_prefix = true;
  int32_t priority = 0;
  std::chrono::steady_clock::time_point deadline;
  bool stream = false;
};

/// Called once with the whole answer, say for a log; from the engine's thread.
using OnAnswer = std::function<void(const Answer&)>;

/// Checks the request and submits it; the writer tells `exchange` the answer as it comes. Throws
/// ApiError while nothing has been answered yet. The request is cancelled when its client goes.
void start_answer(Engine& engine, Metrics& metrics, http::Exchange exchange,
                  http::Headers extra_headers, AnswerRequest request,
                  std::unique_ptr<AnswerWriter> writer, OnAnswer on_answer = nullptr);

/// Twenty-four random letters and digits.
std::string random_id();

}  // namespace millrace::serve
