// Speculative decoding in the scheduler: who guesses how much, and what it was worth.
#include <algorithm>

#include "millrace/generate/scheduler.h"

namespace millrace {

/// How many guesses may follow the answer so far.
int64_t Scheduler::most_guesses(const Sequence& sequence) const {
  if (!sequence.request.speculate || sequence.length() - sequence.processed > 1) return 0;
  // The last token that is wanted comes of the last guess but is none.
  int64_t most =
      std::min({options_.max_draft_tokens, sequence.request.max_tokens - sequence.generated - 1,
                model_.config().max_position_embeddings - sequence.length() - 1});
  // Nor do guesses go where keys are turned by another rope.
  while (most > 0 &&
         model_.config().rope_length(sequence.length() + most) != sequence.scope.rope_length) {
    --most;
  }
  return most;
}

/// Lets sequences that decode guess what follows, as far as that makes the pass better.
void Scheduler::speculate() {
  if (options_.max_draft_tokens == 0) return;
  int64_t rows = 0;
  for (const auto& sequence : running_) rows += sequence->length() - sequence->processed;
  rows = std::min(rows, options_.tokens_per_batch);
  drafting_.clear();
  draft_counts_.clear();
  for (const auto& sequence : running_) {
    const int64_t most = most_guesses(*sequence);
    if (most <= 0) continue;
    if (draft_model_ == nullptr) {
      guess_.resize(static_cast<size_t>(most));
      guess_.resize(static_cast<size_t>(look_up(sequence->tokens, guess_)));
      if (guess_.empty()) continue;
    }
    const int64_t count = sequence->acceptance.length(cost_.worth(rows), most);
    // Nobody is sent away for a guess.
    const bool room = cache_.free_blocks() > static_cast<int64_t>(running_.size());
    if (count == 0 || !room || !cache_.extend(sequence->cache, sequence->length() + count))
      continue;
    if (draft_model_ != nullptr) {
      drafting_.push_back(sequence.get());
      draft_counts_.push_back(count);
    } else {
      sequence->tokens.insert(sequence->tokens.end(), guess_.begin(), guess_.begin() + count);
      sequence->drafted = count;
    }
  }
  if (!drafting_.empty()) {
    const TimePoint start = options_.clock();
    draft_model_->guess(drafting_, draft_counts_);
    cost_.add_guesses(*std::max_element(draft_counts_.begin(), draft_counts_.end()),
                      static_cast<int64_t>(drafting_.size()), seconds_since(start));
  }
  for (const auto& sequence : running_) {
    sequence->guesses = sequence->drafted;
    sequence->accepted = 0;
    sequence->all_guesses += sequence->drafted;
    counts_.drafted_tokens += sequence->drafted;
  }
}

/// Learns from a pass how good the guesses of a sequence are.
void Scheduler::learn(Sequence& sequence) {
  if (sequence.guesses == 0) return;
  sequence.acceptance.add(sequence.guesses, sequence.accepted);
  sequence.all_accepted += sequence.accepted;
  counts_.accepted_tokens += sequence.accepted;
  sequence.guesses = sequence.accepted = 0;
  if (draft_model_ != nullptr) DraftModel::settle(sequence);
}

}  // namespace millrace
