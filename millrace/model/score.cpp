#include "millrace/model/score.h"

#include <algorithm>
#include <vector>

#include "millrace/graph/ops/loss.h"

namespace millrace {

void token_losses(const Model& model, const RaggedBatch& batch, std::span<const int32_t> targets,
                  Workspace& workspace, std::span<float> losses, const LowRankMap* adapter) {
  const size_t count = batch.tokens.size();
  require(targets.size() == count && losses.size() == count,
          "{} targets and {} losses for a batch of {} tokens", targets.size(), losses.size(),
          count);
  std::vector<int64_t> rows;
  std::vector<int32_t> scored;
  for (size_t i = 0; i < count; ++i) {
    if (targets[i] < 0) continue;
    require(targets[i] < model.config().vocab_size, "the target {} is outside the vocabulary of {}",
            targets[i], model.config().vocab_size);
    rows.push_back(static_cast<int64_t>(i));
    scored.push_back(targets[i]);
  }
  std::fill(losses.begin(), losses.end(), 0.0f);
  if (rows.empty()) return;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  context.set_adapter(adapter);
  Value hidden =
      head_input(context, model, context.gather_rows(model.family().forward(context, model), rows));
  std::vector<float> scored_losses(rows.size());
  head_loss_forward(hidden.data, model.head(), scored, workspace.activations, scored_losses);
  for (size_t i = 0; i < rows.size(); ++i) losses[static_cast<size_t>(rows[i])] = scored_losses[i];
}

}  // namespace millrace
