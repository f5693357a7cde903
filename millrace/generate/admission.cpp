// Who runs: admission, growth, and who waits when memory runs out.
//
// Nothing here can go round for ever. A sequence is preempted only when another one grows, which it
// does once for each block of its text, when its own keys are to be turned by another rope, which
// doublings of its length decide, or for one that comes: of higher priority, or of a client of
// which none runs, and then not the last one of its own client. Each of these happens a bounded
// number of times, what was generated stays generated, and of those that run at least one goes on.
#include <algorithm>
#include <tuple>

#include "millrace/generate/scheduler.h"

namespace millrace {

int64_t Scheduler::positions_needed(const Sequence& sequence) const {
  const int64_t most = sequence.prompt_length() + sequence.request.max_tokens;
  return std::min(most, model_.config().max_position_embeddings);
}

/// Ends those whose time is over.
void Scheduler::expire() {
  if (deadlines_.empty()) return;
  const TimePoint now = options_.clock();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    end(deadlines_.begin()->second, FinishReason::deadline);
  }
}

void Scheduler::admit() {
  // Who did not fit fits no better before somebody has come or gone.
  if (blocked_at_ == changes_) return;
  while (Sequence* next = queue_.first()) {
    if (!admit(*next)) {
      blocked_at_ = changes_;
      return;
    }
    next->state = Sequence::State::running;
    ++next->client->running;
    ++changes_;
    running_.push_back(queue_.take(next->id));
  }
}

/// Takes the blocks for all tokens that a sequence has, and for one more.
bool Scheduler::admit(Sequence& sequence) {
  const std::span<const int32_t> tokens(sequence.tokens);
  if (shares(sequence)) {
    // The last token goes through the model in any case, as do those of a prompt that is scored.
    const int64_t limit =
        sequence.scores_prompt() ? sequence.prompt_scored - 1 : sequence.length() - 1;
    sequence.processed =
        cache_.reuse(sequence.cache, sequence.scope, tokens.first(static_cast<size_t>(limit)));
  }
  const int64_t positions = std::min(sequence.length() + 1, positions_needed(sequence));
  const int64_t missing =
      CacheLayout::blocks_for(positions) - static_cast<int64_t>(sequence.cache.blocks.size());
  // Each that runs may soon need a block more; who comes later should not be sent away for it.
  const auto running = static_cast<int64_t>(running_.size());
  const bool fits = running < options_.max_sequences && missing + running <= cache_.free_blocks();
  if ((!fits && !make_room(sequence, missing)) || !cache_.extend(sequence.cache, positions)) {
    release(sequence);
    return false;
  }
  sequence.tokens.reserve(static_cast<size_t>(positions_needed(sequence)));
  if (sequence.cached_prompt_tokens < 0) {
    sequence.cached_prompt_tokens = sequence.processed;
    counts_.prompt_tokens += sequence.prompt_length();
    counts_.cached_prompt_tokens += sequence.processed;
  }
  return true;
}

/// Of those that run, the one to go first: of the lowest priority, of a client of which others run
/// as well, of that which holds most, the latest. With a `newcomer` only one that may be sent away
/// for it; null when there is none.
Sequence* Scheduler::first_to_go(const Sequence* newcomer) const {
  for (const auto& s : running_) s->client->blocks = 0;
  for (const auto& s : running_) {
    s->client->blocks += static_cast<int64_t>(s->cache.blocks.size());
  }
  const auto rank = [](const Sequence& s) {
    return std::tuple(-int64_t{s.request.priority}, s.client->running >= 2, s.client->blocks, s.id);
  };
  Sequence* first = nullptr;
  for (const auto& s : running_) {
    if (s->state != Sequence::State::running) continue;
    if (newcomer != nullptr) {
      const bool lower = s->request.priority < newcomer->request.priority;
      const bool same = s->request.priority == newcomer->request.priority;
      const bool fair = same && newcomer->client->running == 0 && s->client->running >= 2;
      if (!lower && !fair) continue;
    }
    if (first == nullptr || rank(*s) > rank(*first)) first = s.get();
  }
  return first;
}

/// Preempts those that may be sent away for `sequence`, if that makes enough room for it.
bool Scheduler::make_room(const Sequence& sequence, int64_t blocks) {
  int64_t places = options_.max_sequences - static_cast<int64_t>(running_.size());
  int64_t free = cache_.free_blocks();
  std::vector<Sequence*> chosen;
  while (places < 1 || free < blocks) {
    Sequence* next = first_to_go(&sequence);
    if (next == nullptr) break;
    next->state = Sequence::State::preempted;
    --next->client->running;
    chosen.push_back(next);
    free += cache_.unshared_blocks(next->cache);
    ++places;
  }
  const bool enough = places >= 1 && free >= blocks;
  for (Sequence* s : chosen) {
    s->state = Sequence::State::running;
    ++s->client->running;
    if (enough) preempt(*s);
  }
  sweep();
  return enough;
}

/// Takes blocks for the next token of all, those with the first claim first.
void Scheduler::grow() {
  for (size_t i = 0; i < running_.size(); ++i) {
    while (running_[i]->state == Sequence::State::running && !grow(*running_[i])) {
      preempt(*first_to_go(nullptr));
    }
  }
  sweep();
}

bool Scheduler::grow(Sequence& sequence) {
  return cache_.extend(sequence.cache, std::min(sequence.length() + 1, positions_needed(sequence)));
}

int64_t Scheduler::rope_length(const Sequence& sequence) const {
  return model_.config().rope_length(sequence.length());
}

/// Sends those back whose keys are turned by another rope from here on: all is read anew.
void Scheduler::turn_anew() {
  for (const auto& sequence : running_) {
    const int64_t length = rope_length(*sequence);
    if (length == sequence->scope.rope_length) continue;
    if (sequence->state == Sequence::State::running) preempt(*sequence);
    sequence->scope.rope_length = length;
  }
}

/// Sends a running sequence back to wait, without its blocks.
void Scheduler::preempt(Sequence& sequence) {
  remember(sequence);
  release(sequence);
  sequence.state = Sequence::State::preempted;
  --sequence.client->running;
  ++counts_.preemptions;
  ++changes_;
}

/// Lets go of running sequences that no longer run.
void Scheduler::sweep() {
  for (auto& sequence : running_) {
    if (sequence->state == Sequence::State::preempted) queue_.put_back(std::move(sequence));
  }
  std::erase_if(running_, [](const auto& s) {
    return s == nullptr || s->state == Sequence::State::finished;
  });
}

}  // namespace millrace
