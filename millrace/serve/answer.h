// An answer as it grows, in no API's words; a writer tells it in those of one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/chat_answer.h"
#include "millrace/serve/api_error.h"

namespace millrace::serve {

/// A token with its log-probability, and those of the most likely ones.
struct TokenScore {
  std::string bytes;
  int32_t id = 0;
  std::optional<float> log_probability;  ///< none of a prompt's first token
  std::vector<TokenScore> top;
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  ///< JSON text
};

/// One of the `n` answers to one prompt.
struct Choice {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;
  std::vector<TokenScore> scores;  ///< when they were asked for; an echoed prompt's come first
  std::string finish_reason;       ///< "stop", "length", "tool_calls"; empty while it is written
  std::string stop_sequence;       ///< the stop string that ended it; empty: none
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  ///< of the prompt's, found in the cache
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

struct Answer {
  std::string id;       ///< 24 random letters and digits, without any API's prefix
  std::string model;    ///< as the client named it
  int64_t created = 0;  ///< seconds since 1970
  std::vector<Choice> choices;
  Usage usage;
};

/// What was added to a choice.
struct ChoiceDelta {
  size_t choice = 0;
  AnswerDelta text;
  std::span<const TokenScore> scores;
};

/// Tells an answer in the words of one API: piece by piece, as the bytes of a stream, or whole.
/// Every call is given the answer as it is by then.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  virtual std::string begin(const Answer& answer) = 0;
  virtual std::string add(const Answer& answer, const ChoiceDelta& delta) = 0;
  virtual std::string end_choice(const Answer& answer, size_t choice) = 0;
  virtual std::string end(const Answer& answer) = 0;
  /// A failure in mid-stream; nothing follows it.
  virtual std::string error(const ApiError& error) = 0;
  virtual Json whole(const Answer& answer) = 0;
  /// A failure before anything was sent.
  virtual Json error_json(const ApiError& error) { return openai_error(error); }

  /// Of the stream.
  virtual const char* content_type() const { return "text/event-stream; charset=utf-8"; }
};

/// A float as JSON writes it: the shortest text that reads back the same. (A double that was made
/// of it would show seventeen digits.)
Json shortest(float value);
Json shortest(std::span<const float> values);

/// One event of a stream: "data: …", with the name of the event before it where there is one.
std::string event(const Json& data, std::string_view name = {});

}  // namespace millrace::serve
