// What a reader of generated text found, collected into deltas.
#pragma once

#include <string>
#include <string_view>

#include "millrace/generate/answer/offered_tools.h"
#include "millrace/generate/chat_answer.h"
#include "millrace/generate/text_stream.h"

namespace millrace {

/// Spaces and newlines around reasoning and calls belong to the syntax and are left out; those at
/// the end of text wait for what follows.
class AnswerOutput {
 public:
  AnswerOutput(const ChatSyntax& syntax, const AnswerOptions& options);

  void reasoning(std::string_view text);
  void end_reasoning();
  void content(std::string_view text);

  /// A call begins. Its name is among tools().
  void begin_call(std::string_view name);
  void arguments(std::string_view json);
  void end_call();

  /// The text ends.
  void finish();
  /// What came since the last time.
  AnswerDelta take();

  const OfferedTools& tools() const { return tools_; }
  int calls() const { return calls_; }
  /// Whether text of the call that is being read is out.
  bool in_call() const { return in_call_; }
  bool has_reasoning() const { return reasoning_begun_; }
  /// Whether there is any content or call yet.
  bool begun() const { return begun_; }
  bool stopped() const { return stopped_ || stop_.stopped(); }
  const std::string& stop_string() const { return stop_.found(); }

 private:
  ToolCallDelta& call_delta();

  OfferedTools tools_;
  CallIdForm ids_;
  std::string id_seed_;
  int earlier_calls_;
  bool parallel_;
  StopStrings stop_;
  AnswerDelta delta_;
  std::string reasoning_space_;
  std::string content_space_;
  bool reasoning_begun_ = false;
  bool drop_space_ = false;  // after reasoning or a call, until content
  bool begun_ = false;
  bool in_call_ = false;
  bool stopped_ = false;
  int calls_ = 0;
};

/// The id of a call, the same for the same seed and index.
std::string call_id(CallIdForm form, std::string_view seed, std::string_view name, int index);

}  // namespace millrace
