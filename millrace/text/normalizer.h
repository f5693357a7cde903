// What is done to a text before it is cut into words: the normalizers of tokenizer.json.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/text/bert_normalizer.h"
#include "millrace/text/normal_form.h"
#include "millrace/text/pattern.h"
#include "millrace/text/precompiled_map.h"
#include "millrace/text/sentencepiece_normalizer.h"

namespace millrace {

struct Lowercase {};
struct StripAccents {};
/// Takes spaces off the ends.
struct Strip {
  bool left = true;
  bool right = true;
};
/// Begins a text that is not empty.
struct Prepend {
  std::string text;
};
/// Puts `content` in the place of each match; without a pattern, of each `literal`.
struct Replace {
  std::string literal;
  std::shared_ptr<const Pattern> pattern;
  std::string content;
};
/// A character map, applied as Hugging Face's tokenizers do.
struct Precompiled {
  std::shared_ptr<const PrecompiledMap> map;
};

using NormalizerStep = std::variant<NormalForm, Lowercase, StripAccents, Strip, Prepend, Replace,
                                    Precompiled, BertNormalizer, SentencePieceNormalizer>;

/// Steps, one after the other; without any the text stays.
struct Normalizer {
  std::vector<NormalizerStep> steps;

  /// Reads tokenizer.json's "normalizer" (or null): NFC, NFD, NFKC, NFKD, Lowercase, StripAccents,
  /// Strip, Prepend, Replace, Precompiled and BertNormalizer, alone or in a Sequence. Throws Error
  /// that names the type of any other.
  static Normalizer from_json(const Json& normalizer, std::string_view source);
  /// SentencePiece's own step is written as those that Hugging Face's converter makes of it.
  Json to_json() const;

  bool empty() const { return steps.empty(); }
};

/// A text may be normalised in parts: what the ends of a text get, only its first or last part
/// does.
struct TextEnds {
  bool begin = true;
  bool end = true;
};

/// Bytes that are not UTF-8 stay as they are.
std::string normalize(const Normalizer& normalizer, std::string_view text, TextEnds ends = {});

}  // namespace millrace
