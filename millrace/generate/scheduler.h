// Continuous batching: many sequences share each pass through the model.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "millrace/generate/key_value_cache.h"
#include "millrace/generate/sampler.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/model.h"

namespace millrace {

enum class FinishReason : uint8_t { stop, length };
std::string_view finish_reason_name(FinishReason reason);

/// One sequence to be continued.
struct SequenceRequest {
  std::vector<int32_t> prompt;  ///< at least one token
  int64_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<int32_t> end_ids;  ///< generation ends at these; they are not part of the answer
  /// Called with each token and its log-probability; false ends the sequence with `stop`.
  std::function<bool(int32_t id, float log_probability)> on_token;
  std::function<void(FinishReason)> on_finish;
};

struct SchedulerOptions {
  int64_t max_positions = 0;       ///< of all sequences' caches together; 0: 8 full contexts
  int64_t tokens_per_batch = 512;  ///< prompts are cut so that a batch has no more tokens
  int64_t max_sequences = 64;      ///< running at a time
};

/// Runs requests in the order of their arrival. What a sequence gets does not depend on the others
/// (docs/numerics.md). Not for several threads. The model's values stay, but weights that a cache
/// mapped move into faster memory during the first steps.
class Scheduler {
 public:
  /// `adapter`, when not null, is added to the model's matrices for every sequence.
  explicit Scheduler(Model& model, const SchedulerOptions& options = {},
                     const LowRankMap* adapter = nullptr);

  /// Throws Error when the request can never run: an empty prompt, an id that the vocabulary does
  /// not have, a prompt as long as the context, more positions than the cache holds.
  void submit(SequenceRequest request);

  /// One pass through the model. False when nothing is left to do.
  bool step();

  /// Steps until nothing is left.
  void run();

  size_t cache_bytes() const { return cache_.bytes(); }

 private:
  struct Sequence {
    SequenceRequest request;
    Sampler sampler;
    SequenceBlocks blocks;
    std::vector<int32_t> tokens;  // prompt, then answer
    int64_t processed = 0;        // tokens whose keys and values are cached
    int64_t generated = 0;
    bool finished = false;
  };

  int64_t positions_needed(const SequenceRequest& request) const;
  void admit();
  void build_batch();
  void add_to_batch(Sequence& sequence, int64_t max_tokens);
  void advance(Sequence& sequence, std::span<float> logits);
  void finish(Sequence& sequence, FinishReason reason);

  Model& model_;
  SchedulerOptions options_;
  const LowRankMap* adapter_;
  KeyValueCache cache_;
  Workspace workspace_;
  std::deque<SequenceRequest> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;

  // One batch; kept so that a step allocates nothing.
  RaggedBatch batch_;
  std::vector<const SequenceBlocks*> batch_blocks_;
  std::vector<int64_t> logit_rows_;
  std::vector<Sequence*> logit_sequences_;
};

}  // namespace millrace
