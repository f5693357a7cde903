#include "millrace/generate/answer/answer_output.h"

#include <utility>

#include "millrace/base/random.h"

namespace millrace {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

/// `space` and the text up to its last character that is no space; the rest becomes `space`.
std::string without_last_spaces(std::string& space, std::string_view text) {
  size_t last = text.find_last_not_of(kSpaces);
  if (last == std::string_view::npos) {
    space += text;
    return {};
  }
  std::string result = std::exchange(space, std::string(text.substr(last + 1)));
  result += text.substr(0, last + 1);
  return result;
}

std::string letters_and_digits(std::string_view seed, int index, int length) {
  constexpr std::string_view kAlphabet =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t key = static_cast<uint64_t>(index);
  for (unsigned char byte : seed) key = mix_bits(key ^ byte);
  Random random(key);
  std::string result;
  for (int i = 0; i < length; ++i) result += kAlphabet[random.below(kAlphabet.size())];
  return result;
}

}  // namespace

std::string call_id(CallIdForm form, std::string_view seed, std::string_view name, int index) {
  switch (form) {
    case CallIdForm::functions:
      return fmt::format("functions.{}:{}", name, index);
    case CallIdForm::nine:
      return letters_and_digits(seed, index, 9);
    case CallIdForm::openai:
      break;
  }
  return "call_" + letters_and_digits(seed, index, 24);
}

AnswerOutput::AnswerOutput(const ChatSyntax& syntax, const AnswerOptions& options)
    : tools_(options.tools),
      ids_(syntax.ids),
      id_seed_(options.id_seed),
      earlier_calls_(options.earlier_calls),
      parallel_(options.parallel_calls),
      stop_(options.stop) {}

void AnswerOutput::reasoning(std::string_view text) {
  if (stopped()) return;
  std::string certain = without_last_spaces(reasoning_space_, text);
  if (!reasoning_begun_) certain.erase(0, certain.find_first_not_of(kSpaces));
  reasoning_begun_ = reasoning_begun_ || !certain.empty();
  delta_.reasoning += certain;
}

void AnswerOutput::end_reasoning() {
  reasoning_space_.clear();
  content_space_.clear();
  drop_space_ = true;
}

void AnswerOutput::content(std::string_view text) {
  if (stopped()) return;
  size_t first = text.find_first_not_of(kSpaces);
  if (drop_space_) {
    if (first == std::string_view::npos) return;
    text.remove_prefix(first);
    drop_space_ = false;
  }
  begun_ = begun_ || first != std::string_view::npos;
  // A stop string may be a space, so it is looked for before spaces wait.
  delta_.content += without_last_spaces(content_space_, stop_.add(text));
  if (stop_.stopped()) delta_.content += std::exchange(content_space_, {});
}

ToolCallDelta& AnswerOutput::call_delta() {
  int index = calls_ - 1;
  if (delta_.tool_calls.empty() || delta_.tool_calls.back().index != index) {
    delta_.tool_calls.push_back({index, "", "", ""});
  }
  return delta_.tool_calls.back();
}

void AnswerOutput::begin_call(std::string_view name) {
  in_call_ = true;
  if (stopped()) return;
  delta_.content += without_last_spaces(content_space_, stop_.finish());
  content_space_.clear();
  drop_space_ = begun_ = true;
  int index = calls_++;
  ToolCallDelta& call = call_delta();
  call.id =
      call_id(ids_, id_seed_, name, index + (ids_ == CallIdForm::functions ? earlier_calls_ : 0));
  call.name = name;
}

void AnswerOutput::arguments(std::string_view json) {
  if (!stopped() && !json.empty()) call_delta().arguments += json;
}

void AnswerOutput::end_call() {
  in_call_ = false;
  if (!parallel_) stopped_ = true;
}

void AnswerOutput::finish() {
  if (!stopped()) delta_.content += std::exchange(content_space_, {}) + stop_.finish();
}

AnswerDelta AnswerOutput::take() {
  return std::exchange(delta_, {});
}

}  // namespace millrace
