// Answers in the words of OpenAI's API.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "millrace/serve/answer.h"

namespace millrace::serve {

struct ChatCompletionsOptions {
  bool stream_usage = false;  ///< a last chunk tells the usage
  bool scores = false;        ///< log-probabilities were asked for
};
std::unique_ptr<AnswerWriter> chat_completions_writer(const ChatCompletionsOptions& options);

struct CompletionsOptions {
  bool stream_usage = false;
  bool scores = false;
  std::vector<std::string> echo;  ///< for each choice: the text of its prompt, which comes first
};
std::unique_ptr<AnswerWriter> completions_writer(CompletionsOptions options);

/// Tokens with their log-probabilities, as chats and responses list them.
Json scores_json(std::span<const TokenScore> scores);

/// `usage` of chat and plain completions.
Json usage_json(const Usage& usage);

}  // namespace millrace::serve
