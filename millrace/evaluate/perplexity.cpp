#include "millrace/evaluate/perplexity.h"

#include <algorithm>
#include <cmath>

#include "millrace/model/score.h"

namespace millrace {
namespace {

/// Window `index`, and what each of its tokens is asked to predict: the second half, but for the
/// last token, whose successor lies in the next window.
void add_window(std::span<const int32_t> ids, int64_t index, const PerplexityOptions& options,
                RaggedBatch& batch, std::vector<int32_t>& targets) {
  const int64_t context = options.context;
  std::span<const int32_t> text =
      ids.subspan(static_cast<size_t>(index * context), static_cast<size_t>(context));
  std::vector<int32_t> window(text.begin(), text.end());
  if (options.bos >= 0) window[0] = options.bos;
  batch.add_sequence(window);
  for (int64_t i = 0; i < context; ++i) {
    const bool scored = i >= context / 2 && i + 1 < context;
    targets.push_back(scored ? text[static_cast<size_t>(i + 1)] : -1);
  }
}

}  // namespace

double Perplexity::perplexity() const {
  return std::exp(nll);
}

Perplexity perplexity(const Model& model, std::span<const int32_t> ids,
                      const PerplexityOptions& options, const LowRankMap* adapter,
                      const std::function<void(int64_t)>& on_window) {
  require_causal(model.config());
  const int64_t context = options.context;
  require(context >= 4 && context <= model.config().max_position_embeddings,
          "--context is {}; it must be between 4 and the model's {}", context,
          model.config().max_position_embeddings);
  require(options.batch >= 1, "--batch is {}; it must be positive", options.batch);
  const int64_t windows = static_cast<int64_t>(ids.size()) / context;
  require(windows > 0, "the text has {} tokens; one window needs {}", ids.size(), context);
  Perplexity result;
  Workspace workspace;
  RaggedBatch batch;
  std::vector<int32_t> targets;
  double sum = 0;
  for (int64_t first = 0; first < windows; first += options.batch) {
    const int64_t last = std::min(windows, first + options.batch);
    batch.clear();
    targets.clear();
    for (int64_t i = first; i < last; ++i) add_window(ids, i, options, batch, targets);
    std::vector<float> losses(targets.size());
    token_losses(model, batch, targets, workspace, losses, adapter);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      sum += static_cast<double>(losses[i]);
      result.positions.push_back(first * context + static_cast<int64_t>(i) + 1);
      result.log_probabilities.push_back(-losses[i]);
    }
    if (on_window) on_window(last);
  }
  result.tokens = static_cast<int64_t>(result.positions.size());
  result.nll = sum / static_cast<double>(result.tokens);
  return result;
}

}  // namespace millrace
