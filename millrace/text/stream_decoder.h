// Tokens to text while they are being generated, never half a character.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "millrace/text/tokenizer.h"

namespace millrace {

/// What a text begins with, or goes on with behind another one: some tokenizers begin a text with
/// a space that is none.
enum class TextPlace { kBegin, kBehind };

/// The place of a text that goes on from these tokens: the beginning where all are special.
TextPlace place_behind(const Tokenizer& tokenizer, std::span<const int32_t> ids);

class StreamDecoder {
 public:
  /// With `skip_special`, special tokens give no text.
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = true,
                         TextPlace place = TextPlace::kBegin);

  /// The text that this token completes. The bytes that begin a character are kept until the rest
  /// of it comes; bytes that cannot become a character come out as they are.
  std::string add(int32_t id);

  /// What is kept: the beginning of a character that nothing completes.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  bool is_first_;
  bool owes_space_ = false;  // if anything follows
  int64_t strips_left_;
  std::string kept_;
};

}  // namespace millrace
