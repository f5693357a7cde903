#include "millrace/generate/batch.h"

#include <span>

namespace millrace {

void SequenceBatch::clear() {
  tokens.clear();
  blocks.clear();
  states.clear();
  adapters.clear();
  parts.clear();
  logit_rows.clear();
}

void SequenceBatch::add(Sequence& sequence, int64_t count) {
  const int64_t begin = sequence.processed, length = sequence.length();
  const bool all = begin + count == length;
  const int64_t end = begin + count + (all ? sequence.drafted : 0);
  // Logits of a prompt's tokens say how likely the next one was; from the last certain token on
  // they say what comes next.
  for (int64_t position = begin; position < end; ++position) {
    const bool scored = sequence.scores_prompt() && position + 1 >= sequence.prompt_scored &&
                        position + 1 < sequence.prompt_length();
    const bool sampled = position + 1 >= length && sequence.request.max_tokens > 0;
    if (!scored && !sampled) continue;
    logit_rows.push_back({tokens.num_tokens() + position - begin, parts.size(), position});
  }
  tokens.add_sequence(std::span<const int32_t>(sequence.tokens)
                          .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
                      static_cast<int32_t>(begin), {}, sequence.request.prefix);
  tokens.lengths.back() = length;
  if (sequence.request.blank >= 0) {
    tokens.fill_blank(static_cast<int32_t>(sequence.request.blank));
  }
  blocks.push_back(&sequence.cache.blocks);
  states.push_back(sequence.cache.states);
  adapters.push_back(sequence.request.adapter.get());
  parts.push_back({&sequence, count});
}

}  // namespace millrace
