#include "millrace/text/stream_decoder.h"

#include <algorithm>
#include <utility>

#include "millrace/text/utf8.h"

namespace millrace {

TextPlace place_behind(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  const bool has_text =
      std::any_of(ids.begin(), ids.end(), [&](int32_t id) { return !tokenizer.is_special(id); });
  return has_text ? TextPlace::kBehind : TextPlace::kBegin;
}

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special, TextPlace place)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      is_first_(place == TextPlace::kBegin),
      strips_left_(is_first_ ? tokenizer_.definition().decoder.strip_count : 0) {}

std::string StreamDecoder::add(int32_t id) {
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  if (id < 0 || id >= tokenizer_.vocab_size()) return {};
  std::string text = std::move(kept_);
  if (std::exchange(owes_space_, tokenizer_.ends_with_word_end(id))) text += ' ';
  std::string_view bytes = std::exchange(is_first_, false) ? tokenizer_.first_token_bytes(id)
                                                           : tokenizer_.token_bytes(id);
  if (owes_space_) bytes.remove_suffix(1);
  const std::string& strip = tokenizer_.definition().decoder.strip;
  for (; strips_left_ > 0 && bytes.starts_with(strip); --strips_left_) {
    bytes.remove_prefix(strip.size());
  }
  if (!bytes.empty()) strips_left_ = 0;
  text += bytes;
  size_t complete = text.size() - utf8_incomplete_length(text);
  kept_ = text.substr(complete);
  text.resize(complete);
  return text;
}

std::string StreamDecoder::finish() {
  return std::exchange(kept_, {});
}

}  // namespace millrace
