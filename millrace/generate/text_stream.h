// Turns generated ids into text as it becomes certain: whole characters, and no stop string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/text/stream_decoder.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

/// Ends a text before the first of some strings.
class StopStrings {
 public:
  /// Empty ones are passed over.
  explicit StopStrings(std::vector<std::string> stop);

  /// The text that is certain after some more. What may be the beginning of a stop string is held
  /// back.
  std::string add(std::string_view text);
  /// Whether one has come; nothing follows it.
  bool stopped() const { return stopped_; }
  /// Which one; empty while none has.
  const std::string& found() const { return found_; }
  /// What was held back, at the end.
  std::string finish();

 private:
  std::vector<std::string> stop_;
  std::string held_, found_;
  bool stopped_ = false;
};

class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop,
             TextPlace place = TextPlace::kBegin);

  /// The text that is certain after one more id. What may be the beginning of a stop string, or of
  /// a character, is held back.
  std::string add(int32_t id);
  /// Whether a stop string has come; nothing follows it.
  bool stopped() const { return stop_.stopped(); }
  /// Which one; empty while none has.
  const std::string& stop_string() const { return stop_.found(); }
  /// What was held back, at the end.
  std::string finish();

 private:
  StreamDecoder decoder_;
  StopStrings stop_;
};

}  // namespace millrace
