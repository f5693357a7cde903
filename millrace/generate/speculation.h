// Speculative decoding without a second model: what to guess, and how much of it is worth a row.
//
// Guesses go through the model behind the last token, in one pass, and each is kept as long as it
// is what the sampler then draws there: the answer is the very one that one token a pass gives.
#pragma once

#include <cstdint>
#include <span>

namespace millrace {

/// Prompt lookup (Saxena 2023): what followed the last few tokens where they stood before, the
/// latest place first. Returns how many of `guess` it wrote.
int64_t look_up(std::span<const int32_t> tokens, std::span<int32_t> guess);

/// How often the guesses for one sequence are right.
class Acceptance {
 public:
  /// How many to guess when each must be right with a probability of at least `worth`.
  int64_t length(double worth, int64_t most);
  void add(int64_t drafted, int64_t accepted);

 private:
  double rate_ = 0.6;
  int64_t pause_ = 0, next_pause_ = 16;  // passes without guesses, where they are not worth it
};

/// What a pass of few rows costs: seconds = fixed + rows · each, fitted to the last ones.
class PassCost {
 public:
  void add(int64_t rows, double seconds);
  /// What `guesses` passes of a draft model took, for so many sequences each.
  void add_guesses(int64_t guesses, int64_t sequences, double seconds);
  /// With which probability a guess must be right to be worth its row, beside `rows` that are
  /// needed: tokens a second must not fall.
  double worth(int64_t rows) const;

 private:
  double weight_ = 0, rows_ = 0, seconds_ = 0, rows_squared_ = 0, rows_seconds_ = 0;  // sums
  double guess_seconds_ = 0;  // of one guess for one sequence
};

}  // namespace millrace
