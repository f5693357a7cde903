// From the messages of a conversation to the text that the model was trained to continue: the
// model's own Jinja template, rendered as transformers' apply_chat_template renders it.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

/// A stretch of the rendered text by who wrote it. The model's publisher is trusted: the template
/// and its special tokens. The conversation is not, nor anything that the template derived from it.
///
/// A tokenizer is to read special tokens in trusted text only, and to encode the text between two
/// special tokens as one piece, whatever segments it spans: so a user's "<|im_end|>" stays text,
/// and all else gets the ids that the whole text would.
struct ChatSegment {
  std::string text;
  bool trusted;
};

struct RenderedChat {
  /// Neighbours differ in `trusted`, none is empty.
  std::vector<ChatSegment> segments;
  /// Byte ranges [begin, end) of text() that the template marks as the assistant's own with
  /// {% generation %}: what supervised fine-tuning learns from. Few published templates mark any.
  std::vector<std::pair<size_t, size_t>> generated;

  std::string text() const;
};

struct ChatOptions {
  bool add_generation_prompt = true;
  /// More variables by name, such as {"enable_thinking": false}; they hide special tokens of the
  /// same name. Their strings are not trusted.
  Json variables = Json::object();
  /// Documents for templates that answer from them: an array of objects, or null.
  Json documents;
  /// What strftime_now() tells; the local time unless given.
  std::optional<std::tm> now;
};

/// A parsed template. Rendering changes nothing, so that threads may share one.
class ChatTemplate {
 public:
  /// `special_tokens` become variables of the template by name ("bos_token", "<s>"). `name` begins
  /// every error: "chat template, line 12: …". Throws Error when the source is not a template.
  ChatTemplate(std::string_view source,
               std::vector<std::pair<std::string, std::string>> special_tokens,
               std::string name = "chat template");

  /// `messages` is an array of objects as OpenAI's API has them; content may be a string, null or
  /// an array of parts, and a tool call's arguments an object or a string of JSON: what the
  /// template sees is what the caller gave (most templates want an object). As transformers does,
  /// members that are null are left out, and reasoning is passed as both `reasoning_content` and
  /// `thinking` whichever of these or `reasoning` it came as. `tools` is an array of objects or
  /// null.
  ///
  /// A role that is a common one ("user", "tool", …) counts as trusted, because templates build
  /// special tokens of it: '<|' + role + '|>'. Any other role does not.
  ///
  /// Throws Error that names the template's line: when it refuses the conversation by
  /// raise_exception, misuses a value, or costs too much (steps, output, nesting; see
  /// jinja/budget.h).
  RenderedChat render(const Json& messages, const Json& tools = nullptr,
                      const ChatOptions& options = {}) const;

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
};

/// The template of a model that publishes none, by name: "llama2", "baichuan2", "chatglm3";
/// "plain", of those that know no turns; and "chatml", which our own models get. Throws Error for
/// other names.
std::string_view built_in_template(std::string_view name);

}  // namespace millrace
