// Speculative decoding with a draft model: a small model guesses what the large one will say.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/generate/key_value_cache.h"
#include "millrace/generate/sequence.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

/// Guesses for many sequences in shared batches. What it guesses changes no answer.
class DraftModel {
 public:
  /// At most `max_blocks` blocks of its own cache, `tokens_per_batch` tokens a pass.
  DraftModel(Model& model, int64_t max_blocks, int64_t tokens_per_batch);

  /// Appends up to counts[i] guesses to the tokens of sequences[i]; fewer where its memory or its
  /// context is too small. Each is drawn as the sequence's sampler will draw, with the same random
  /// numbers, from the draft model's logits: so they agree as often as the models do.
  void guess(std::span<Sequence* const> sequences, std::span<const int64_t> counts);

  /// Forgets what was found wrong; call after a pass in which guesses were verified.
  static void settle(Sequence& sequence);
  /// Gives back what a sequence holds.
  void release(Sequence& sequence);

 private:
  /// One sequence while it is guessed for.
  struct Guessing {
    Sequence* sequence;
    int64_t left;
    Sampler sampler;  // ahead of the sequence's own
    std::unique_ptr<Constraint> constraint;
  };

  void pass();
  void guess_one(Guessing& guessing, std::span<float> logits);

  Model& model_;
  KeyValueCache cache_;
  int64_t tokens_per_batch_;
  Workspace workspace_;
  std::vector<Guessing> guessing_;
  RaggedBatch batch_;
  std::vector<const SequenceBlocks*> blocks_;
  std::vector<int64_t> rows_;
  std::vector<Guessing*> row_of_;
};

}  // namespace millrace
