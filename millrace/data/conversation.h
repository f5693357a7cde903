// Conversations to learn from: Alpaca, ShareGPT and OpenAI-messages files read into one form.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

/// One turn. `fields` is the message as chat templates see it: role and content as below, and what
/// else it came with (name, tool_calls, tool_call_id, reasoning_content).
struct Message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  bool scored = false;  // whether the model learns to say this
  Json fields;
};

struct Conversation {
  std::vector<Message> messages;
  Json tools;          // what the template's `tools` is, or null
  std::string text;    // instead of messages: a page of text, which is learned whole
  std::string source;  // "data.jsonl:12", for errors met later
};

enum class ConversationFormat : uint8_t { alpaca, sharegpt, messages };

/// "alpaca", "sharegpt", "messages". Throws Error for another name.
ConversationFormat conversation_format(std::string_view name);

/// Reads a file that holds one JSON object a line, or one JSON array of objects (both may be
/// compressed, NAME.zst):
///   alpaca    {"instruction", "input"?, "output", "system"?, "history"?: [[question, answer], …]};
///             the user says the instruction and, on a new line, the input
///   sharegpt  {"conversations": [{"from", "value"}, …], "system"?, "tools"?}; from: system, human,
///             user, gpt, assistant, chatgpt, function_call (its value the call as JSON),
///             observation, tool
///   messages  {"messages": [{"role", "content", "weight"?, …}, …], "tools"?}, OpenAI's fine-tuning
///             format; content may be a list of text parts; weight 0 leaves a message unscored
/// Any of them may hold pages of text too, {"text"}: what fine-tuning mixes in so that the model
/// keeps what it learned before.
/// What the assistant says is scored, the rest is not. Throws Error naming file, line (or place in
/// the array) and field; a conversation in which the assistant says nothing is one.
std::vector<Conversation> read_conversations(const std::filesystem::path& path,
                                             ConversationFormat format);

/// One object of such a file; `source` begins every message.
Conversation parse_conversation(const Json& object, ConversationFormat format,
                                std::string_view source);

}  // namespace millrace
