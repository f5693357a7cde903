// The likeliest tokens of a row of logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

struct TokenProbability {
  int32_t id = 0;
  float log_probability = 0;  ///< the model's own: before penalties, bias, temperature, constraint
  bool operator==(const TokenProbability&) const = default;
};

/// `top` becomes the `count` ids of the greatest logits, falling, the lowest id first among equals,
/// with their log-probabilities: logit − log_total.
void likeliest(std::span<const float> logits, float log_total, int32_t count,
               std::vector<TokenProbability>& top);

}  // namespace millrace
