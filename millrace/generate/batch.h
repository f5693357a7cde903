// One pass through the model: the tokens of many sequences, and the rows whose logits are read.
#pragma once

#include <cstdint>
#include <vector>

#include "millrace/generate/sequence.h"
#include "millrace/graph/batch.h"
#include "millrace/graph/pages.h"

namespace millrace {

/// Kept between passes so that a step allocates nothing.
struct SequenceBatch {
  struct Part {
    Sequence* sequence = nullptr;
    int64_t count = 0;           // tokens of it, without guesses
    bool guessed_wrong = false;  // rows from here on follow what is not in the answer
  };
  /// A row whose logits are read, and what stands there.
  struct LogitRow {
    int64_t row = 0;
    size_t part = 0;
    int64_t position = 0;
  };

  RaggedBatch tokens;
  std::vector<const SequenceBlocks*> blocks;
  std::vector<float*> states;  // of the layers that have states
  std::vector<const LowRankMap*> adapters;
  std::vector<Part> parts;
  std::vector<LogitRow> logit_rows;

  void clear();
  /// The next `count` tokens of a sequence, and all its guesses when these are the last.
  void add(Sequence& sequence, int64_t count);
};

}  // namespace millrace
