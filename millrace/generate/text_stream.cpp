#include "millrace/generate/text_stream.h"

#include <algorithm>

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

TextStream::TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop)
    : decoder_(tokenizer), stop_(std::move(stop)) {
  std::erase_if(stop_, [](const std::string& s) { return s.empty(); });
}

std::string TextStream::release() {
  size_t first = std::string::npos;
  for (const std::string& stop : stop_) first = std::min(first, held_.find(stop));
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

std::string TextStream::add(int32_t id) {
  if (stopped_) return {};
  held_ += decoder_.add(id);
  return release();
}

std::string TextStream::finish() {
  if (stopped_) return {};
  held_ += decoder_.finish();
  std::string certain = release();
  return stopped_ ? certain : certain + std::exchange(held_, {});
}

}  // namespace millrace
