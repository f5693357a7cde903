// Softmax and cross entropy in the plainest C++.
#include <algorithm>
#include <cmath>

#include "millrace/kernels/loss.h"

namespace millrace::reference {

float log_sum_exp(const float* logits, int64_t vocab) {
  double greatest = *std::max_element(logits, logits + vocab), sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(logits[i] - greatest);
  return static_cast<float>(greatest + std::log(sum));
}

float log_softmax_at(const float* logits, int64_t vocab, int32_t target) {
  return logits[target] - log_sum_exp(logits, vocab);
}

void softmax(const float* logits, int64_t vocab, float* probabilities) {
  double normal = log_sum_exp(logits, vocab);
  for (int64_t i = 0; i < vocab; ++i) {
    probabilities[i] = static_cast<float>(std::exp(logits[i] - normal));
  }
}

float relative_probabilities(const float* logits, int64_t vocab, float temperature,
                             float* relative) {
  const double greatest = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    const double y = std::exp((logits[i] - greatest) / temperature);
    relative[i] = static_cast<float>(y);
    sum += y;
  }
  return static_cast<float>(sum);
}

int32_t argmax(const float* logits, int64_t vocab) {
  int64_t best = -1;
  for (int64_t i = 0; i < vocab; ++i) {
    if (std::isnan(logits[i])) continue;
    if (best < 0 || logits[i] > logits[best]) best = i;
  }
  return static_cast<int32_t>(std::max<int64_t>(best, 0));
}

void cross_entropy_forward(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                           float* losses) {
  for (int64_t r = 0; r < rows; ++r) {
    bool scored = targets[r] != kNotScored;
    losses[r] = scored ? -log_softmax_at(logits + r * vocab, vocab, targets[r]) : 0.0f;
  }
}

void cross_entropy_forward_backward(float* logits, const int32_t* targets, int64_t rows,
                                    int64_t vocab, float scale, float* losses) {
  cross_entropy_forward(logits, targets, rows, vocab, losses);
  for (int64_t r = 0; r < rows; ++r) {
    float* row = logits + r * vocab;
    if (targets[r] == kNotScored) {
      std::fill_n(row, vocab, 0.0f);
      continue;
    }
    softmax(row, vocab, row);
    row[targets[r]] -= 1;
    for (int64_t i = 0; i < vocab; ++i) row[i] *= scale;
  }
}

}  // namespace millrace::reference
