// What a checkpoint holds, and nothing else decides how a run goes on: a run that resumes ends in
// the same bits as one that was never stopped.
#pragma once

#include <filesystem>

#include "millrace/data/packing.h"
#include "millrace/generate/language_model.h"
#include "millrace/train/optimizer.h"

namespace millrace {

/// Where a run is. No random state is kept because there is none to keep: the data's order is a
/// function of seed and cursor, and samples are drawn by seed and step.
struct TrainingState {
  int64_t step = 0;  // optimiser steps done
  DataCursor cursor;
  int64_t tokens = 0;  // that went through the model
  double seconds = 0;  // of training, without evaluations and checkpoints
};

/// Writes a checkpoint's folder: the model with its f32 weights, its tokenizer and template, so
/// that every verb can open it (or the adapter alone, in PEFT's layout); optimizer.safetensors; and
/// trainer.json.
void save_training_state(const std::filesystem::path& folder, const LanguageModel& model,
                         const std::string& base_model, const Optimizer& optimizer,
                         const TrainingState& state);

/// Reads what save_training_state wrote beside the weights, which open_model_to_train reads.
/// Throws Error that names the file and the field.
TrainingState load_training_state(const std::filesystem::path& folder, Optimizer& optimizer);

}  // namespace millrace
