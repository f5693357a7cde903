// From what a model generates in a chat to what the user's program gets: reasoning, content and
// tool calls, as they become certain.
//
// Each family marks these in its own way. Which way is found from the chat template
// (chat_syntax.h); the rules are the same for all:
//   - Where a marker is a token of the tokenizer, only that token is syntax: the same characters
//     spelled out by other tokens are text. Where it is not, its characters are.
//   - A call counts when its function is among the request's tools and its arguments begin. What
//     looked like a call and is none is content. Without tools nothing is a call.
//   - Arguments come out as pieces of JSON text. They are whole unless the generation was cut, or
//     the model wrote something that is no JSON: what follows that is content.
//   - Special tokens that are no syntax are left out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/chat_syntax.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

/// A part of a tool call. The first of a call has its id and name, and no other has.
struct ToolCallDelta {
  int index = 0;  ///< counts the answer's calls from 0
  std::string id;
  std::string name;
  std::string arguments;  ///< the next piece of a JSON object's text

  bool operator==(const ToolCallDelta&) const = default;
};

/// What became certain. Parts that came one after another in the text are in this order only
/// within each field; reasoning comes before content, content before calls, but for rare models.
struct AnswerDelta {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> tool_calls;  ///< at most one delta of each call

  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
  /// Adds what came later: deltas of the same call become one.
  void append(const AnswerDelta& later);
};

/// What a piece of generated text is to the tokenizer.
enum class PieceKind : uint8_t {
  text,     ///< of tokens that are pieces of words
  added,    ///< one token that is found by its content, such as Qwen's <think>; a reader sees it
  special,  ///< one token that marks structure, such as <|im_end|>; no reader sees it
};

struct AnswerOptions {
  Json tools;               ///< OpenAI's: [{"type": "function", "function": {…}}, …], or null
  std::string prompt_tail;  ///< the end of the rendered prompt: it may have opened the reasoning
  std::string id_seed;      ///< ids of calls follow from it; unique for each answer
  int earlier_calls = 0;    ///< of the conversation: some families number all of them
  /// A grammar makes the answer a call (call_grammar.h): markers count however they are spelled.
  bool demanded = false;
  bool parallel_calls = true;     ///< else the answer ends after one call
  std::vector<std::string> stop;  ///< the answer ends before the first of these in its content
};

/// The parser itself, over text. A class of its own so that it needs no model.
class AnswerParser {
 public:
  AnswerParser(const ChatSyntax& syntax, const AnswerOptions& options);
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;

  /// What is certain after one more piece. The answer does not depend on how text is cut into
  /// pieces, which need not be whole characters. Never throws for what the model says.
  AnswerDelta add(std::string_view text, PieceKind kind = PieceKind::text);
  /// What was held back, at the end of the generation.
  AnswerDelta finish();

  /// Whether a stop string has come, or the one call that is allowed: nothing follows.
  bool stopped() const;
  /// The stop string that has come; empty while none has.
  const std::string& stop_string() const;
  bool has_tool_calls() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The parser over generated ids: what the API's chat routes use.
class ChatAnswer {
 public:
  ChatAnswer(Tokenizer tokenizer, const ChatSyntax& syntax, const AnswerOptions& options);

  /// What is certain after one more id. End tokens may be added or not.
  AnswerDelta add(int32_t id);
  /// What was held back: the beginnings of characters, markers and stop strings.
  AnswerDelta finish();

  /// The generation is to end; as with a stop string, its reason is then `stop`.
  bool stopped() const { return parser_.stopped(); }
  const std::string& stop_string() const { return parser_.stop_string(); }
  /// For the finish reason: `tool_calls` unless the length cut the answer.
  bool has_tool_calls() const { return parser_.has_tool_calls(); }

 private:
  PieceKind kind(int32_t id) const;

  Tokenizer tokenizer_;
  AnswerParser parser_;
  std::vector<bool> added_;  // by id
  std::string kept_;         // the beginning of a character
};

}  // namespace millrace
