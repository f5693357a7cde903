// The likeliest tokens of a row of logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/generate/sequence_request.h"

namespace millrace {

/// `top` becomes the `count` ids of the greatest logits, falling, the lowest id first among equals,
/// with their log-probabilities: logit − log_total.
void likeliest(std::span<const float> logits, float log_total, int32_t count,
               std::vector<TokenProbability>& top);

}  // namespace millrace
