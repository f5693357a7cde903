// How tokens become text again: the decoders of tokenizer.json, as what each token writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

/// Every decoder that is supported writes a token by itself; only at the beginning of a text, and
/// for one of them at its end, there is something less.
struct Decoder {
  struct Step {
    enum Kind {
      kReplace,
      kByteFallback,
      kStrip,
      kMetaspace,
      kWordPiece,
      kEndOfWord,  // BPEDecoder
      kSeparate    // there is no decoder: a space between tokens
    };
    Kind kind = kReplace;
    std::string pattern;         // what is replaced or stripped, or marks parts or ends of words
    std::string content;         // what it becomes
    bool cleanup = false;        // WordPiece: no space before punctuation
    bool is_kept_first = false;  // Metaspace: the first token keeps its spaces
    int64_t count = 0;           // Strip: how many at most
  };
  /// What is done to each token, in order; with none, tokens stand for their own bytes.
  std::vector<Step> steps;
  /// Taken off the beginning of a text, at most so many times.
  std::string strip;
  int64_t strip_count = 0;

  /// Reads tokenizer.json's "decoder": ByteLevel, Replace (of a String), ByteFallback, Fuse, Strip,
  /// Metaspace, WordPiece and BPEDecoder, alone or in a Sequence. Throws Error that names the type
  /// of any other. Without one (null), tokens have spaces between them.
  static Decoder from_json(const Json& decoder, std::string_view source);
  Json to_json() const;

  bool empty() const { return steps.empty() && strip_count == 0; }
  /// Whether the first token of a text may be written differently.
  bool differs_at_begin() const;
  /// What the tokens of words end with that becomes a space, but not at the end of a text.
  std::string_view end_of_word() const;

  /// What a token writes.
  std::string text_of(std::string token, bool is_first) const;
};

/// The byte that a token like <0x0A> stands for; -1 for other tokens.
int byte_of_token(std::string_view token);

}  // namespace millrace
