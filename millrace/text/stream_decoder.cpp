#include "millrace/text/stream_decoder.h"

#include <utility>

#include "millrace/text/utf8.h"

namespace millrace {

std::string StreamDecoder::add(int32_t id) {
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  std::string text = std::move(kept_);
  text += tokenizer_.token_bytes(id);
  size_t complete = text.size() - utf8_incomplete_length(text);
  kept_ = text.substr(complete);
  text.resize(complete);
  return text;
}

std::string StreamDecoder::finish() {
  return std::exchange(kept_, {});
}

}  // namespace millrace
