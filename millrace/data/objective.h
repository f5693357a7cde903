// What a model learns from a stretch of text: by which rule it becomes an example.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/data/blank_infilling.h"
#include "millrace/data/example.h"
#include "millrace/data/span_corruption.h"
#include "millrace/text/infill_tokens.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

enum class ObjectiveKind : uint8_t {
  causal,              ///< each next token
  fill_in_the_middle,  ///< the same, of texts whose middle stands last (Bavarian et al. 2022)
  prefix,              ///< each next token of a text's end, whose beginning is seen both ways
                       ///< (prefix language modelling, Raffel et al. 2020)
  span_corruption,     ///< spans that sentinels stand for (Raffel et al. 2020)
  blank_infilling,     ///< spans, sentences or most of a text that masks stand for (Du et al. 2022)
  masked,              ///< hidden tokens, for encoders (Devlin et al. 2018)
};

struct ObjectiveOptions {
  ObjectiveKind kind = ObjectiveKind::causal;
  double fim_rate = 0.5;       ///< part of the texts whose middle is moved
  double mask_rate = 0.15;     ///< part of the tokens that are to be told
  double span_length = 3;      ///< mean length of the spans that they lie in
  double sentence_rate = 0.3;  ///< part of the texts whose blanks are sentences
  double document_rate = 0.3;  ///< part of the texts with one blank of half of them and more
  bool whole_words = false;    ///< all tokens of a word are hidden, or none
  int32_t decoder_start = -1;  ///< what a decoder beside an encoder reads first; −1: there is none
};

/// The tokens that a tokenizer made for an objective has.
std::vector<std::string> objective_tokens(ObjectiveKind kind);

class Objective {
 public:
  /// Throws Error when the tokenizer lacks the tokens that the objective needs.
  Objective(const ObjectiveOptions& options, const Tokenizer& tokenizer);

  const ObjectiveOptions& options() const { return options_; }

  /// The example of a text's stretch of 2 tokens at least, all of which are scored.
  Example example(std::span<const int32_t> tokens, Random& random) const;

  /// Inputs that an example of a stretch of so many tokens has at most. Where infilling would need
  /// more, the suffix gives way.
  int64_t most_inputs(int64_t tokens) const;

 private:
  Example infilling(std::span<const int32_t> tokens, Random& random) const;
  Example prefixed(std::span<const int32_t> tokens, Random& random) const;
  Example corrupted(std::span<const int32_t> tokens, Random& random) const;
  Example blanked(std::span<const int32_t> tokens, Random& random) const;
  Example masked(std::span<const int32_t> tokens, Random& random) const;
  bool continues_word(int32_t before, int32_t id) const;

  ObjectiveOptions options_;
  Tokenizer tokenizer_;
  InfillTokens infill_{-1, -1, -1};
  SpanCorruptionTokens corruption_;
  BlankTokens blanks_ = {};
  int32_t mask_ = -1;
};

}  // namespace millrace
