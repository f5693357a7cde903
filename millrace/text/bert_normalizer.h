// BERT's cleaning of text (Devlin et al. 2018; tokenization.py of BERT), as Hugging Face's
// BertNormalizer does it.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

struct BertNormalizer {
  bool clean_text = true;            // control characters go, every kind of space becomes U+0020
  bool handle_chinese_chars = true;  // each gets a space before and after it
  bool strip_accents = true;
  bool lowercase = true;
};

/// Bytes that are not UTF-8 stay as they are.
std::string normalize(const BertNormalizer& options, std::string_view text);

/// The text in small letters, each character by itself (Unicode 17).
std::string lowercase(std::string_view text);

/// The text without combining marks; those that are part of a letter stay.
std::string strip_accents(std::string_view text);

}  // namespace millrace
