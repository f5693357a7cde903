// gpt-oss' answers: messages to a channel or a recipient (OpenAI's Harmony format),
// <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>.
#pragma once

#include <string>
#include <string_view>

#include "millrace/generate/answer/answer_output.h"
#include "millrace/generate/answer/json_scanner.h"
#include "millrace/generate/answer/marker_lexer.h"

namespace millrace {

/// Analysis is reasoning, the final channel and comments to the user are content, and messages to
/// functions.NAME are calls, if the request has such a tool. Messages to tools that the model has
/// of its own (python, browser) are part of its reasoning.
class Channels {
 public:
  /// `prompt_tail` says what of a message's header stands in the prompt.
  Channels(const ChatSyntax& syntax, std::string_view prompt_tail, AnswerOutput& output);

  void read(const Lexeme& lexeme);
  void finish();

 private:
  enum class Part { role, channel, constraint, body };
  enum class Kind { content, reasoning, call };

  void marker(const Lexeme& lexeme);
  void begin_message();
  void begin_body();
  void end_body();
  void body(std::string_view text);
  void arguments(std::string_view text);

  AnswerOutput& output_;
  Part part_ = Part::role;
  Kind kind_ = Kind::content;
  std::string header_;   // role and recipient
  std::string channel_;  // and perhaps the recipient
  std::string tool_;
  JsonScanner scanner_;
  bool call_complete_ = false;
  int reasoning_messages_ = 0;
  int content_messages_ = 0;
};

}  // namespace millrace
