#include "millrace/generate/text_stream.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

/// Length of the longest end of `text` that is a beginning of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size()); length > 0; --length) {
    if (text.substr(text.size() - length) == stop.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stop) : stop_(std::move(stop)) {
  std::erase_if(stop_, [](const std::string& s) { return s.empty(); });
}

std::string StopStrings::add(std::string_view text) {
  if (stopped_) return {};
  if (stop_.empty()) return std::string(text);
  held_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stop_) {
    const size_t at = held_.find(stop);
    if (at >= first) continue;
    first = at;
    found_ = stop;
  }
  if (first != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, first);
  }
  size_t kept = 0;
  for (const std::string& stop : stop_) kept = std::max(kept, overlap(held_, stop));
  std::string certain = held_.substr(0, held_.size() - kept);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::finish() {
  return stopped_ ? std::string() : std::exchange(held_, {});
}

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop, TextPlace place)
    : decoder_(tokenizer, true, place), stop_(std::move(stop)) {}

std::string TextStream::add(int32_t id) {
  return stopped() ? std::string() : stop_.add(decoder_.add(id));
}

std::string TextStream::finish() {
  if (stopped()) return {};
  std::string certain = stop_.add(decoder_.finish());
  return certain + stop_.finish();
}

}  // namespace millrace
