// The loss of one optimiser step and its gradients, over as many micro-batches as memory asks for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/data/packing.h"
#include "millrace/graph/recording_context.h"
#include "millrace/model/adapter.h"
#include "millrace/model/model.h"
#include "millrace/train/optimizer.h"

namespace millrace {

/// Gives every weight of the model a gradient.
std::vector<TrainedParameter> train_all_weights(Model& model);

/// Gives the adapter's weights gradients and leaves the model's as they are. The model's matrices
/// may be of any type, quantised ones too.
std::vector<TrainedParameter> train_adapter_only(Model& model, Adapter& adapter);

struct GradientOptions {
  int64_t micro_batch_tokens = 4096;
  bool recompute = false;
  const Objective* objective = nullptr;  ///< null: each next token
  RouterLosses router_losses = {};  ///< added in each micro-batch by its part of the scored tokens
};

/// The loss of some tokens: their sum in double precision, in the order of the tokens.
struct LossSum {
  double nll = 0;  // nats
  int64_t tokens = 0;
  double mean() const { return tokens > 0 ? nll / static_cast<double>(tokens) : 0; }
};

/// Adds the gradients of the step's mean loss to those of the trained parameters. The mean is over
/// all scored tokens of the step, so that its meaning does not depend on how the step is cut into
/// micro-batches. A step with nothing to score adds nothing.
LossSum accumulate_gradients(Model& model, const LowRankMap* adapter, const TokenDataset& dataset,
                             std::span<const Piece> step, const GradientOptions& options,
                             TrainingWorkspace& workspace);

}  // namespace millrace
