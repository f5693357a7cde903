// Continuous batching: many sequences share each pass through the model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "millrace/generate/batch.h"
#include "millrace/generate/draft_model.h"
#include "millrace/generate/fair_queue.h"
#include "millrace/generate/key_value_cache.h"
#include "millrace/generate/sequence_request.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

struct SchedulerOptions {
  /// Of all sequences' caches together; 0: 8 full contexts, of which no more than 256 MB are kept
  /// when no sequence holds them.
  int64_t max_positions = 0;
  int64_t tokens_per_batch = 512;  ///< prompts are cut so that a batch has no more tokens
  int64_t max_sequences = 64;      ///< running at a time
  /// Keeps the keys and values of finished sequences, for those that begin alike, until their
  /// memory is needed.
  bool share_prefixes = true;
  /// Tokens guessed ahead at most, by prompt lookup or by the draft model; 0: no speculation.
  int64_t max_draft_tokens = 0;
  /// A small model of the same vocabulary that nobody else runs; null: prompt lookup.
  Model* draft_model = nullptr;
  /// What time it is, for deadlines.
  std::function<TimePoint()> clock = [] { return std::chrono::steady_clock::now(); };
};

/// What is going on now, and counts since the beginning.
struct SchedulerState {
  int64_t waiting = 0, running = 0;                          ///< sequences, now
  int64_t used_blocks = 0, kept_blocks = 0, max_blocks = 0;  ///< held; kept for reuse; the limit
  int64_t batches = 0, batch_tokens = 0;                     ///< passes, and their tokens
  int64_t prompt_tokens = 0, cached_prompt_tokens = 0;       ///< of admitted sequences
  int64_t generated_tokens = 0;
  int64_t preemptions = 0;
  int64_t drafted_tokens = 0, accepted_tokens = 0;  ///< of speculative decoding
};

/// Runs requests: those of higher priority first, among them a fair share of tokens to each client,
/// of one client in the order of their arrival. What a sequence gets does not depend on the others
/// (docs/numerics.md). Memory is taken as sequences grow; when there is none left, one of them
/// waits and goes on later as if nothing had been. Once admitted only cancel and its deadline end a
/// request early. Not for several threads. The model's values stay, but weights that a cache mapped
/// move into faster memory during the first steps.
class Scheduler {
 public:
  explicit Scheduler(Model& model, const SchedulerOptions& options = {});

  /// Throws Error when the request can never run: an empty prompt, an id that the vocabulary does
  /// not have, a prompt as long as the context, more positions than the cache holds.
  RequestId submit(SequenceRequest request);

  /// Ends a request with `cancelled`. False when it has ended already.
  bool cancel(RequestId id);

  /// One pass through the model. False when nothing is left to do.
  bool step();

  /// Steps until nothing is left.
  void run();

  SchedulerState state() const;
  size_t cache_bytes() const { return cache_.bytes(); }

 private:
  // admission.cpp: who runs.
  int64_t positions_needed(const Sequence& sequence) const;
  void expire();
  void admit();
  bool admit(Sequence& sequence);
  bool make_room(const Sequence& sequence, int64_t blocks);
  Sequence* first_to_go(const Sequence* newcomer) const;
  void grow();
  bool grow(Sequence& sequence);
  void preempt(Sequence& sequence);
  int64_t rope_length(const Sequence& sequence) const;
  void turn_anew();
  void sweep();

  // scheduler.cpp: what goes through the model, and what comes of it.
  void build_batch();
  void run_batch();
  void read_logits(Context& context, const Value& hidden);
  void read_row(const SequenceBatch::LogitRow& row, std::span<float> logits);
  void score_prompt_token(Sequence& sequence, size_t index, std::span<const float> logits);
  void sample(SequenceBatch::Part& part, std::span<float> logits);
  void remember(Sequence& sequence);
  void finish(Sequence& sequence, FinishReason reason, std::string error = {});

  void release(Sequence& sequence);
  bool end(RequestId id, FinishReason reason);
  double seconds_since(TimePoint start) const;

  // drafting.cpp: what is guessed ahead.
  void speculate();
  int64_t most_guesses(const Sequence& sequence) const;
  void learn(Sequence& sequence);
  bool shares(const Sequence& sequence) const;

  Model& model_;
  SchedulerOptions options_;
  KeyValueCache cache_;
  Workspace workspace_;
  RequestId last_id_ = 0;
  FairQueue queue_;
  std::vector<std::unique_ptr<Sequence>> running_;
  std::set<std::pair<TimePoint, RequestId>> deadlines_;
  uint64_t changes_ = 1;     // how often somebody came or went
  uint64_t blocked_at_ = 0;  // the first that waited did not fit, when there had been so many
  SchedulerState counts_;
  std::unique_ptr<DraftModel> draft_model_;  // null: prompt lookup
  PassCost cost_;

  // One batch; kept so that a step allocates nothing.
  std::vector<std::pair<Sequence*, int64_t>> plan_;  // whose next tokens, and how many
  std::vector<Sequence*> prefilling_;
  SequenceBatch batch_;
  std::vector<int64_t> row_numbers_;
  std::vector<int32_t> guess_;
  std::vector<Sequence*> drafting_;
  std::vector<int64_t> draft_counts_;
  GeneratedToken token_;
};

}  // namespace millrace
