#include "millrace/data/chat_document.h"

#include <algorithm>
#include <string>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/data/text_document.h"

namespace millrace {
namespace {

/// Tokens of one question with all before it, and of its answer.
struct Turn {
  std::vector<int32_t> tokens;
  size_t answer_begin = 0;
  size_t scored_end = 0;
};

/// The part [begin, end) of a rendered text, in its segments.
std::vector<TextSegment> part_of(const RenderedChat& chat, size_t begin, size_t end) {
  std::vector<TextSegment> part;
  size_t at = 0;
  for (const ChatSegment& segment : chat.segments) {
    size_t from = std::clamp(begin, at, at + segment.text.size()) - at;
    size_t to = std::clamp(end, at, at + segment.text.size()) - at;
    if (from < to) {
      part.push_back({std::string_view(segment.text).substr(from, to - from), segment.trusted});
    }
    at += segment.text.size();
  }
  return part;
}

RenderedChat render(const Conversation& conversation, const ChatTemplate& chat_template,
                    size_t count, bool add_generation_prompt) {
  Json messages = Json::array();
  for (const Message& message : std::span(conversation.messages).first(count)) {
    messages.push_back(message.fields);
  }
  ChatOptions options;
  options.add_generation_prompt = add_generation_prompt;
  try {
    return chat_template.render(messages, conversation.tools, options);
  } catch (const Error& error) {
    fail("{}: {}", conversation.source, error.what());
  }
}

/// Where the answer begins in `answered`.
size_t answer_begin(const RenderedChat& asked, const RenderedChat& answered,
                    const std::string& source) {
  const std::string question = asked.text();
  if (answered.text().starts_with(question)) return question.size();
  require(
      !answered.generated.empty(),
      "{}: the chat template begins an answer differently than its generation prompt does, so "
      "what the model is to learn cannot be told; mark it in the template by {{% generation %}}",
      source);
  return answered.generated.back().first;
}

Turn make_turn(const Conversation& conversation, size_t index, const ChatTemplate& chat_template,
               const Tokenizer& tokenizer) {
  RenderedChat asked = render(conversation, chat_template, index, true);
  RenderedChat answered = render(conversation, chat_template, index + 1, false);
  const size_t begin = answer_begin(asked, answered, conversation.source);
  Turn turn;
  turn.tokens = tokenizer.encode(part_of(answered, 0, begin), false);
  turn.answer_begin = turn.tokens.size();
  for (int32_t id : tokenizer.encode(part_of(answered, begin, std::string::npos), false)) {
    turn.tokens.push_back(id);
    if (tokenizer.is_end(id)) turn.scored_end = turn.tokens.size();
  }
  if (turn.scored_end == 0) turn.scored_end = turn.tokens.size();  // no token ends a turn
  return turn;
}

bool begins(const std::vector<int32_t>& first, const std::vector<int32_t>& second) {
  return first.size() <= second.size() && std::equal(first.begin(), first.end(), second.begin());
}

}  // namespace

std::vector<Document> chat_documents(const Conversation& conversation,
                                     const ChatTemplate& chat_template,
                                     const Tokenizer& tokenizer) {
  if (!conversation.text.empty()) return {text_document(conversation.text, tokenizer)};
  std::vector<Document> documents;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    if (!conversation.messages[i].scored) continue;
    Turn turn = make_turn(conversation, i, chat_template, tokenizer);
    if (documents.empty() || !begins(documents.back().tokens, turn.tokens)) {
      documents.emplace_back();
    }
    Document& document = documents.back();
    document.tokens = std::move(turn.tokens);
    document.scored.resize(document.tokens.size(), 0);
    std::fill(document.scored.begin() + static_cast<std::ptrdiff_t>(turn.answer_begin),
              document.scored.begin() + static_cast<std::ptrdiff_t>(turn.scored_end), uint8_t{1});
  }
  return documents;
}

}  // namespace millrace
