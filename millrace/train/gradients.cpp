#include "millrace/train/gradients.h"

namespace millrace {
namespace {

/// Rows whose next token is scored, and those tokens.
struct ScoredRows {
  std::vector<int64_t> rows;
  std::vector<int32_t> targets;
};

ScoredRows scored_rows(std::span<const int32_t> targets) {
  ScoredRows scored;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    scored.rows.push_back(static_cast<int64_t>(i));
    scored.targets.push_back(targets[i]);
  }
  return scored;
}

/// One micro-batch forward and back; gradients are of scale * sum of losses, which go onto `sum`
/// one by one, so that its bits do not depend on where micro-batches end.
void run_micro_batch(Model& model, const LowRankMap* adapter, const PackedBatch& batch,
                     const GradientOptions& options, float scale, TrainingWorkspace& workspace,
                     LossSum& sum) {
  ScoredRows scored = scored_rows(batch.targets);
  if (scored.rows.empty()) return;
  RecordingContext context(
      batch.inputs, {model.cache_dtype(), options.recompute, options.router_losses}, workspace);
  context.set_adapter(adapter);
  Value hidden = model.family().forward(context, model);
  if (scored.rows.size() < batch.targets.size()) hidden = context.gather_rows(hidden, scored.rows);
  hidden = head_input(context, model, hidden);
  std::vector<float> losses(scored.rows.size());
  context.backward(hidden, model.head(), scored.targets, scale, losses);
  for (float loss : losses) sum.nll += loss;
  sum.tokens += static_cast<int64_t>(losses.size());
}

}  // namespace

std::vector<TrainedParameter> train_all_weights(Model& model) {
  std::vector<TrainedParameter> trained;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    Parameter& parameter = model.parameters()[i];
    if (parameter.name.empty()) continue;
    make_trainable(parameter, model.arithmetic());
    trained.push_back({&parameter, i >= model.specs().outer.size() && parameter.is_matrix()});
  }
  return trained;
}

std::vector<TrainedParameter> train_adapter_only(Model& model, Adapter& adapter) {
  for (Parameter& parameter : model.parameters()) {
    if (!parameter.name.empty()) pack_for_backward(parameter);
  }
  std::vector<TrainedParameter> trained;
  for (Parameter& parameter : adapter.parameters()) {
    make_trainable(parameter, model.arithmetic());
    trained.push_back({&parameter, false});
  }
  return trained;
}

LossSum accumulate_gradients(Model& model, const LowRankMap* adapter, const TokenDataset& dataset,
                             std::span<const Piece> step, const GradientOptions& options,
                             TrainingWorkspace& workspace) {
  const int64_t scored = count_scored(dataset, step, options.objective);
  if (scored == 0) return {};
  const auto scale = static_cast<float>(1.0 / static_cast<double>(scored));
  LossSum total;
  for (std::span<const Piece> part : split_step(step, options.micro_batch_tokens)) {
    PackedBatch batch = pack(dataset, part, model.config().vocab_size, options.objective);
    run_micro_batch(model, adapter, batch, options, scale, workspace, total);
  }
  return total;
}

}  // namespace millrace
