// Chooses the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "millrace/base/random.h"

namespace millrace {

/// How the next token is chosen. Applied in this order: penalties, bias, temperature, top-k,
/// typical, top-p, min-p; the defaults switch each of them off but for the temperature.
struct SamplingOptions {
  float temperature = 1.0f;         ///< 0: the most likely token, the lowest id among equals
  int32_t top_k = 0;                ///< keep the k most likely; 0: all
  float top_p = 1.0f;               ///< keep the fewest tokens with this much probability together
  float min_p = 0.0f;               ///< drop those less likely than this times the most likely
  float typical_p = 1.0f;           ///< keep the most typical ones (Meister et al. 2023)
  float repetition_penalty = 1.0f;  ///< divides positive logits of seen tokens (Keskar et al. 2019)
  float presence_penalty = 0.0f;    ///< subtracted from logits of tokens that were generated
  float frequency_penalty = 0.0f;   ///< subtracted as often as the token was generated
  std::vector<std::pair<int32_t, float>> logit_bias;  ///< added to logits of these ids
  uint64_t seed = 0;
};

/// Throws Error that names the field when one is out of its range or not a number.
void validate(const SamplingOptions& options, int64_t vocab_size);

/// A token that may still be drawn.
struct Candidate {
  int32_t id = 0;
  float logit = 0;
  double probability = 0;  ///< relative to the most likely token's
};

/// Samples one sequence. What it draws for the n-th token depends on the seed, n and the logits.
class Sampler {
 public:
  /// `prompt` counts as seen for the repetition penalty.
  Sampler(SamplingOptions options, std::span<const int32_t> prompt);

  /// The next token; `logits` [vocab] are changed. Throws Error when no logit is a number.
  int32_t next(std::span<float> logits);

  /// log softmax of the chosen token before penalties, bias and temperature.
  float log_probability() const { return log_probability_; }

 private:
  bool changes_logits() const;
  void change(std::span<float> logits) const;
  int32_t draw(std::span<const float> logits);

  SamplingOptions options_;
  Random random_;
  std::unordered_map<int32_t, int32_t> seen_;       // in prompt and answer
  std::unordered_map<int32_t, int32_t> generated_;  // in the answer
  std::vector<Candidate> candidates_;
  float log_probability_ = 0;
};

}  // namespace millrace
