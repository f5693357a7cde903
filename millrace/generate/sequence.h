// One request on its way: what the scheduler knows of it from submit to its end.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "millrace/generate/key_value_cache.h"
#include "millrace/generate/sampler.h"
#include "millrace/generate/sequence_request.h"
#include "millrace/generate/speculation.h"

namespace millrace {

struct Client;

struct Sequence {
  enum class State : uint8_t { waiting, running, preempted, finished };

  Sequence(RequestId number, SequenceRequest asked)
      : id(number),
        request(std::move(asked)),
        sampler(request.sampling, request.prompt),
        scope{request.cache_scope, request.adapter},
        tokens(request.prompt) {}

  int64_t prompt_length() const { return static_cast<int64_t>(request.prompt.size()); }
  /// Tokens that are certain: the prompt and the answer so far.
  int64_t length() const { return static_cast<int64_t>(tokens.size()) - drafted; }
  bool scores_prompt() const {
    return request.prompt_log_probabilities && prompt_scored < prompt_length();
  }

  RequestId id;
  SequenceRequest request;
  State state = State::waiting;
  Client* client = nullptr;
  Sampler sampler;
  PrefixScope scope;
  CachedSequence cache;
  std::vector<int32_t> tokens;  // prompt, answer, and while a batch runs what is guessed to follow
  int64_t drafted = 0;          // guesses at the end of tokens
  int64_t processed = 0;        // tokens whose keys and values are cached
  int64_t generated = 0;
  int64_t prompt_scored =
      1;  // tokens of the prompt that are done with: the first has nothing to say
  int64_t cached_prompt_tokens = -1;  // −1: was not admitted yet
  // Speculative decoding: what was guessed for this pass, and ever; what the draft model has read.
  Acceptance acceptance;
  int64_t guesses = 0, accepted = 0;
  int64_t all_guesses = 0, all_accepted = 0;
  CachedSequence draft_cache;
  int64_t draft_processed = 0;
};

}  // namespace millrace
