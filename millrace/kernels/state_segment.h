// What recurrences over the tokens of a sequence work on.
#pragma once

#include <cstdint>

namespace millrace {

/// Successive tokens of one sequence in a batch, and the layer's state before them, which becomes
/// that behind them.
struct StateSegment {
  int64_t begin = 0;  // row of the first in the batch
  int64_t count = 0;
  float* state = nullptr;
};

}  // namespace millrace
