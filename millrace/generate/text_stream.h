// Turns generated ids into text as it becomes certain: whole characters, and no stop string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/text/stream_decoder.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop);

  /// The text that is certain after one more id. What may be the beginning of a stop string, or of
  /// a character, is held back.
  std::string add(int32_t id);
  /// Whether a stop string has come; nothing follows it.
  bool stopped() const { return stopped_; }
  /// What was held back, at the end.
  std::string finish();

 private:
  std::string release();

  StreamDecoder decoder_;
  std::vector<std::string> stop_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace millrace
