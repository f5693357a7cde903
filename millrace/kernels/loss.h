// Softmax over logits: cross entropy with its gradient, log-probabilities, argmax.
#pragma once

#include <cstdint>

namespace millrace {

/// A target that is not scored: its loss and gradient are zero.
inline constexpr int32_t kNotScored = -1;

/// log(sum(exp(logits))) of one row of `vocab` logits. Every function here uses this one, so the
/// loss in training and the log-probability in scoring agree to the bit.
float log_sum_exp(const float* logits, int64_t vocab);

/// log softmax(logits)[target] of one row: logits[target] - log_sum_exp(logits).
float log_softmax_at(const float* logits, int64_t vocab, int32_t target);

/// probabilities = softmax(logits) of one row; may be logits' memory.
void softmax(const float* logits, int64_t vocab, float* probabilities);

/// relative[i] = exp((logits[i] - greatest) / temperature), so 1 for the greatest; returns their
/// sum. No logit may be NaN, and one must be finite. May be logits' memory.
float relative_probabilities(const float* logits, int64_t vocab, float temperature,
                             float* relative);

/// Index of the greatest of one row; the lowest wins a tie. NaNs never win; 0 if all are NaN.
int32_t argmax(const float* logits, int64_t vocab);

/// losses[r] = -log softmax(logits[r])[targets[r]], 0 where the target is kNotScored.
/// logits: [rows, vocab]; targets, losses: [rows].
void cross_entropy_forward(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                           float* losses);

/// As cross_entropy_forward, and turns the logits in place into the gradient of
/// scale * sum(losses): scale * (softmax(logits) - one_hot(target)), zero in rows not scored.
void cross_entropy_forward_backward(float* logits, const int32_t* targets, int64_t rows,
                                    int64_t vocab, float scale, float* losses);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
float log_sum_exp(const float* logits, int64_t vocab);
float log_softmax_at(const float* logits, int64_t vocab, int32_t target);
void softmax(const float* logits, int64_t vocab, float* probabilities);
float relative_probabilities(const float* logits, int64_t vocab, float temperature,
                             float* relative);
int32_t argmax(const float* logits, int64_t vocab);
void cross_entropy_forward(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                           float* losses);
void cross_entropy_forward_backward(float* logits, const int32_t* targets, int64_t rows,
                                    int64_t vocab, float scale, float* losses);
}  // namespace reference

}  // namespace millrace
