// Chooses the next token from logits.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/generate/likeliest.h"

namespace millrace {

/// How the next token is chosen. Applied in this order: penalties, bias, what a constraint allows,
/// temperature, top-k, typical, top-p, min-p; the defaults switch each of them off but for the
/// temperature.
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
  float probability = 0;  ///< relative to the most likely token's
};

/// Samples one sequence. What it draws for the n-th token depends on the seed, n and the logits.
class Sampler {
 public:
  /// `prompt` counts as seen for the repetition penalty.
  Sampler(SamplingOptions options, std::span<const int32_t> prompt);

  /// The next token; `logits` [vocab] are changed; `log_total` is log Σ exp of them. `allowed` has
  /// a bit for each id that may come (Constraint::allowed); empty: all may. Throws Error when no
  /// logit is a number, and when nothing may come.
  int32_t next(std::span<float> logits, float log_total, std::span<const uint64_t> allowed = {});

  /// log softmax of the chosen token before penalties, bias, constraint and temperature.
  float log_probability() const { return log_probability_; }

 private:
  void change(std::span<float> logits);
  void set(std::span<float> logits, int32_t id, float value);
  float before_changes(int32_t id, float now) const;
  int32_t draw(std::span<const float> logits);
  void collect_top_k(std::span<const float> logits);
  void collect(std::span<const float> logits, double total);

  SamplingOptions options_;
  Random random_;
  std::unordered_set<int32_t> seen_;                  // in prompt and answer, if penalised
  std::unordered_map<int32_t, int32_t> generated_;    // in the answer, if penalised
  std::vector<std::pair<int32_t, float>> unchanged_;  // logits before penalties and bias
  std::vector<float> relative_;  // probabilities of all, relative to the most likely token's
  std::vector<TokenProbability> top_;
  std::vector<Candidate> candidates_;
  float log_probability_ = 0;
};

}  // namespace millrace
