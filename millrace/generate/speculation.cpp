#include "millrace/generate/speculation.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr size_t kLongest = 4, kShortest = 2;  // tokens that must be the same
constexpr double kMemory = 0.98;               // of a pass in the next one
constexpr double kAssumed = 0.15;              // a row's cost as part of a pass's, while unknown
constexpr double kMargin = 1.2;
constexpr double kStep = 0.125;
constexpr int64_t kLongestPause = 256;

}  // namespace

int64_t look_up(std::span<const int32_t> tokens, std::span<int32_t> guess) {
  const size_t end = tokens.size();
  if (end <= kShortest || guess.empty()) return 0;
  size_t best = 0, best_length = 0;
  for (size_t i = end - 1; i-- > 0 && best_length < kLongest;) {
    if (tokens[i] != tokens[end - 1]) continue;
    size_t length = 1;
    while (length < kLongest && length <= i && tokens[i - length] == tokens[end - 1 - length]) {
      ++length;
    }
    if (length > best_length) {
      best = i;
      best_length = length;
    }
  }
  if (best_length < kShortest) return 0;
  const size_t period = end - 1 - best;
  for (size_t i = 0; i < guess.size(); ++i) guess[i] = tokens[best + 1 + i % period];
  return static_cast<int64_t>(guess.size());
}

int64_t Acceptance::length(double worth, int64_t most) {
  if (rate_ < worth) {
    if (pause_-- > 0) return 0;
    pause_ = next_pause_;
    next_pause_ = std::min(next_pause_ * 2, kLongestPause);
    return std::min<int64_t>(1, most);  // to see whether that is still so
  }
  pause_ = next_pause_ = 16;
  if (rate_ >= 1) return most;
  // The i-th guess counts only if all before it were right.
  return std::clamp<int64_t>(static_cast<int64_t>(std::log(worth) / std::log(rate_)), 1, most);
}

void Acceptance::add(int64_t drafted, int64_t accepted) {
  for (int64_t i = 0; i < accepted; ++i) rate_ += kStep * (1 - rate_);
  if (accepted < drafted) rate_ -= kStep * rate_;
}

void PassCost::add(int64_t rows, double seconds) {
  const auto n = static_cast<double>(rows);
  weight_ = kMemory * weight_ + 1;
  rows_ = kMemory * rows_ + n;
  seconds_ = kMemory * seconds_ + seconds;
  rows_squared_ = kMemory * rows_squared_ + n * n;
  rows_seconds_ = kMemory * rows_seconds_ + n * seconds;
}

void PassCost::add_guesses(int64_t guesses, int64_t sequences, double seconds) {
  const double each = seconds / static_cast<double>(guesses * sequences);
  guess_seconds_ += (guess_seconds_ == 0 ? 1 : kStep) * (each - guess_seconds_);
}

double PassCost::worth(int64_t rows) const {
  const auto n = static_cast<double>(rows);
  double each = kAssumed, guess = 0;  // in passes of one row
  const double variance = weight_ * rows_squared_ - rows_ * rows_;
  if (variance > 0.01 * weight_ * weight_ && seconds_ > 0) {
    const double slope = (weight_ * rows_seconds_ - rows_ * seconds_) / variance;
    const double one = (seconds_ - slope * (rows_ - weight_)) / weight_;
    each = one > 0 ? std::clamp(slope / one, 0.02, 1.0) : 1.0;
    guess = one > 0 ? guess_seconds_ / one : 0;
  }
  return std::min(1.0, kMargin * n * (each + guess) / (1 + (n - 1) * each));
}

}  // namespace millrace
