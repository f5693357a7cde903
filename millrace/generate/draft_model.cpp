#include "millrace/generate/draft_model.h"

#include <algorithm>

#include "millrace/kernels/loss.h"

namespace millrace {

DraftModel::DraftModel(Model& model, int64_t max_blocks, int64_t tokens_per_batch)
    : model_(model),
      cache_(model.cache_layout(), max_blocks),
      tokens_per_batch_(tokens_per_batch) {}

void DraftModel::guess(std::span<Sequence* const> sequences, std::span<const int64_t> counts) {
  guessing_.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence& s = *sequences[i];
    // The last guess itself goes through the large model only.
    const int64_t positions = s.length() + counts[i] - 1;
    const bool fits = positions <= model_.config().max_position_embeddings;
    if (counts[i] < 1 || !fits || !cache_.extend(s.draft_cache, positions)) continue;
    const Constraint* constraint = s.request.constraint.get();
    guessing_.push_back(
        {&s, counts[i], s.sampler, constraint == nullptr ? nullptr : constraint->clone()});
  }
  while (!guessing_.empty()) {
    pass();
    std::erase_if(guessing_, [](const Guessing& g) { return g.left == 0; });
  }
}

/// What each sequence has not seen yet goes through the model; where that is all, it guesses.
void DraftModel::pass() {
  batch_.clear();
  blocks_.clear();
  rows_.clear();
  row_of_.clear();
  int64_t budget = std::max<int64_t>(tokens_per_batch_, static_cast<int64_t>(guessing_.size()));
  for (Guessing& g : guessing_) {
    Sequence& s = *g.sequence;
    const auto size = static_cast<int64_t>(s.tokens.size());
    const int64_t count = std::min(size - s.draft_processed, budget);
    if (count == 0) break;
    budget -= count;
    batch_.add_sequence(std::span<const int32_t>(s.tokens).subspan(
                            static_cast<size_t>(s.draft_processed), static_cast<size_t>(count)),
                        static_cast<int32_t>(s.draft_processed));
    blocks_.push_back(&s.draft_cache.blocks);
    s.draft_processed += count;
    if (s.draft_processed < size) continue;
    rows_.push_back(batch_.num_tokens() - 1);
    row_of_.push_back(&g);
  }
  EvaluatingContext context(batch_, cache_.layout(), blocks_, workspace_);
  Value out = logits(context, model_, rows_);
  const auto vocab = static_cast<size_t>(model_.config().vocab_size);
  for (size_t i = 0; i < row_of_.size(); ++i) {
    guess_one(*row_of_[i], out.data.f32().subspan(i * vocab, vocab));
  }
}

void DraftModel::guess_one(Guessing& g, std::span<float> logits) try {
  const float total = log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
  std::span<const uint64_t> allowed;
  if (g.constraint) allowed = g.constraint->allowed();
  const int32_t id = g.sampler.next(logits, total, allowed);
  const std::vector<int32_t>& ends = g.sequence->request.end_ids;
  const bool ends_here = std::find(ends.begin(), ends.end(), id) != ends.end();
  if (g.constraint && !ends_here) g.constraint->accept(id);
  g.sequence->tokens.push_back(id);
  ++g.sequence->drafted;
  g.left = ends_here ? 0 : g.left - 1;
} catch (const std::exception&) {
  g.left = 0;  // no guess is no harm
}

void DraftModel::settle(Sequence& sequence) {
  sequence.draft_processed = std::min(sequence.draft_processed, sequence.length() - 1);
}

void DraftModel::release(Sequence& sequence) {
  cache_.release(sequence.draft_cache);
  sequence.draft_processed = 0;
}

}  // namespace millrace
