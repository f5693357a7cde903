#include "millrace/text/jinja/text.h"

#include <algorithm>
#include <utility>

namespace millrace::jinja {

Text::Text(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), origin});
}

void Text::append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void Text::append(const Text& other, size_t begin, size_t end) {
  auto ends_after = [](size_t at, const Run& run) { return at < run.end; };
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), begin, ends_after);
  std::string_view bytes = other.bytes_;
  for (; begin < end; ++run) {
    size_t stop = std::min(run->end, end);
    append(bytes.substr(begin, stop - begin), run->origin);
    begin = stop;
  }
}

void TextBuilder::charge(size_t bytes) {
  budget_->spend_bytes(bytes);
  budget_->check_text_size(text_.size() + bytes);
}

void TextBuilder::append(std::string_view bytes, Origin origin) {
  charge(bytes.size());
  text_.append(bytes, origin);
}

void TextBuilder::append(const Text& text, size_t begin, size_t end) {
  charge(end - begin);
  text_.append(text, begin, end);
}

}  // namespace millrace::jinja
