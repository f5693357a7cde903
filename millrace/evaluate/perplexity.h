// Perplexity of a text, window by window as llama.cpp's perplexity tool does.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "millrace/graph/parameter.h"
#include "millrace/model/model.h"

namespace millrace {

struct PerplexityOptions {
  int64_t context = 512;  ///< tokens in a window
  int64_t batch = 8;      ///< windows that go through the model together; changes nothing else
  /// Put first in every window in the place of its first token, where the model wants it; −1: none.
  int32_t bos = -1;
};

struct Perplexity {
  int64_t tokens = 0;                    ///< scored
  double nll = 0;                        ///< nats a token
  std::vector<int64_t> positions;        ///< in the text, of each scored token
  std::vector<float> log_probabilities;  ///< of each scored token
  double perplexity() const;
};

/// Cuts the text into whole windows of `context` tokens (what is left over at the end is not
/// scored), runs each alone from position 0, and scores the tokens of its second half, which have
/// at least half a window before them. Throws Error for a text shorter than one window.
/// `on_window` is called as windows are done, with how many.
Perplexity perplexity(const Model& model, std::span<const int32_t> ids,
                      const PerplexityOptions& options, const LowRankMap* adapter = nullptr,
                      const std::function<void(int64_t)>& on_window = nullptr);

}  // namespace millrace
