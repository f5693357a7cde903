// What one asks of the scheduler, and what one is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/constraint.h"
#include "millrace/generate/likeliest.h"
#include "millrace/generate/sampler.h"
#include "millrace/graph/parameter.h"

namespace millrace {

using RequestId = uint64_t;
using TimePoint = std::chrono::steady_clock::time_point;

enum class FinishReason : uint8_t {
  stop,       ///< an end token, or on_token said so
  length,     ///< max_tokens, or the model's context is full
  cancelled,  ///< by Scheduler::cancel
  deadline,   ///< its deadline has passed
  failed      ///< an Error of this one sequence, say logits that are no numbers
};
std::string_view finish_reason_name(FinishReason reason);

/// A token of an answer, or of a prompt whose log-probabilities were asked for.
struct GeneratedToken {
  int32_t id = 0;
  float log_probability = 0;
  std::vector<TokenProbability> top;  ///< the likeliest, falling, the lowest id first among equals
};

/// How a sequence ended, and what it took.
struct Finish {
  FinishReason reason = FinishReason::length;
  std::string error;  ///< what went wrong; empty unless `failed`
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  ///< of these, found in the cache when it was first admitted
  int64_t generated_tokens = 0;      ///< without an end token
  int64_t drafted_tokens = 0;        ///< guessed ahead by speculative decoding
  int64_t accepted_tokens = 0;       ///< of these, right
};

/// One sequence to be continued. Callbacks come on the thread that calls the scheduler; they may
/// submit and cancel.
struct SequenceRequest {
  std::vector<int32_t> prompt;  ///< at least one token; what an encoder-decoder's encoder reads
  /// How many of the prompt's first tokens see each other both ways. An encoder-decoder's are set
  /// when it is submitted, and followed by what its decoder begins with.
  int64_t prefix = 0;
  /// Which of the prefix is the mask of the blank that is filled behind it; −1: none
  /// (begin_prompt).
  int64_t blank = -1;
  /// 0 is allowed where prompt_log_probabilities are asked for.
  int64_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<int32_t> end_ids;  ///< generation ends at these; they are not part of the answer
  std::unique_ptr<Constraint> constraint;  ///< null: anything may come
  /// Added to the model's matrices for this sequence; null: none.
  std::shared_ptr<const LowRankMap> adapter;

  bool prompt_log_probabilities = false;  ///< on_prompt_token is called
  int32_t top_log_probabilities = 0;      ///< alternatives reported with each token, at most 1000

  std::string client;    ///< whose it is: clients get equal shares, in tokens
  int32_t priority = 0;  ///< the higher goes first, and others make room for it
  std::optional<TimePoint> deadline;
  /// Prefixes are shared only within one scope; "" is one too.
  std::string cache_scope;
  bool reuse_prefix = true;  ///< false: neither uses prefixes of others nor leaves any
  bool speculate = true;     ///< false: no speculative decoding, which changes no token

  /// Called for each token of the prompt but the first, in order, with its place in the prompt.
  std::function<void(size_t index, const GeneratedToken& token)> on_prompt_token;
  /// Called with each token of the answer; false ends the sequence with `stop`.
  std::function<bool(const GeneratedToken& token)> on_token;
  /// Called once, last.
  std::function<void(const Finish& finish)> on_finish;
};

}  // namespace millrace
