// What a model learns from a stretch of text: which tokens it is shown, and which it is to tell.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/text/infill_tokens.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

enum class ObjectiveKind : uint8_t {
  causal,              ///< each next token
  fill_in_the_middle,  ///< the same, of texts whose middle stands last (Bavarian et al. 2022)
  masked,              ///< hidden tokens, for encoders (Devlin et al. 2018)
};

struct ObjectiveOptions {
  ObjectiveKind kind = ObjectiveKind::causal;
  double fim_rate = 0.5;     ///< part of the texts whose middle is moved
  double mask_rate = 0.15;   ///< part of the tokens that are to be told
  bool whole_words = false;  ///< all tokens of a word are hidden, or none
};

/// The tokens that a tokenizer made for an objective has.
std::vector<std::string> objective_tokens(ObjectiveKind kind);

/// One sequence: [tokens] of inputs, and for each the token to tell or −1.
struct Example {
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
};

class Objective {
 public:
  /// Throws Error when the tokenizer lacks the tokens that the objective needs.
  Objective(const ObjectiveOptions& options, const Tokenizer& tokenizer);

  const ObjectiveOptions& options() const { return options_; }

  /// The example of a text's stretch, all of whose tokens are scored. Causal ones have an input
  /// less than `tokens`; of infilling they have at most 3 more, the suffix giving way if need be.
  Example example(std::span<const int32_t> tokens, Random& random) const;

  /// Inputs that an example may have beyond the tokens less one that a causal one has.
  int64_t extra_inputs() const;

 private:
  Example infilling(std::span<const int32_t> tokens, Random& random) const;
  Example masked(std::span<const int32_t> tokens, Random& random) const;
  bool continues_word(int32_t before, int32_t id) const;

  ObjectiveOptions options_;
  Tokenizer tokenizer_;
  InfillTokens infill_{-1, -1, -1};
  int32_t mask_ = -1;
};

}  // namespace millrace
