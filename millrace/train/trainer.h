// The training loop: from a run's folder to a finished model in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "millrace/train/run_folder.h"

namespace millrace {

struct TrainingOptions {
  bool show_progress = false;  ///< a bar on standard error, when that is a terminal
};

struct TrainingResult {
  /// False when Ctrl-C stopped the run; a checkpoint was saved then, and the run can be resumed.
  bool finished = false;
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;  ///< of the last step, nats a token
  std::optional<double> heldout_loss;
  std::optional<double> heldout_bits_per_byte;
  std::optional<double> heldout_bits_per_character;
  /// RUN/model, or RUN/adapter of LoRA; empty when not finished.
  std::filesystem::path model;
};

/// Trains as the run's recipe says, from its last checkpoint where there is one, and writes the
/// log, checkpoints, the model (matrices of the recipe's precision) and the report. The same recipe
/// and data give the same weights to the bit, however often the run was stopped, by whatever, and
/// resumed, at any number of threads.
/// Throws Error when an input cannot be used, when the loss is no number any more, and when the
/// disk is full; checkpoints that were saved stay as they are.
TrainingResult train(RunFolder& run, const TrainingOptions& options = {});

}  // namespace millrace
