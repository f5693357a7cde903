#include "millrace/train/training_state.h"

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/generate/export.h"

namespace millrace {
namespace {

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "trainer.json";

}  // namespace

void save_training_state(const std::filesystem::path& folder, const LanguageModel& model,
                         const std::string& base_model, const Optimizer& optimizer,
                         const TrainingState& state) {
  if (model.adapter != nullptr) {
    model.adapter->save(folder, base_model);
  } else {
    export_folder(model, folder, DType::f32);
  }
  std::vector<TensorSource> moments;
  for (NamedTensor& named : optimizer.state()) {
    moments.emplace_back(std::move(named.name), std::move(named.tensor));
  }
  write_safetensors(folder / kOptimizerFile, moments);
  Json json = {{"step", state.step},          {"epoch", state.cursor.epoch},
               {"index", state.cursor.index}, {"tokens", state.tokens},
               {"seconds", state.seconds},    {"optimizer_steps", optimizer.steps()}};
  write_file(folder / kStateFile, to_json_text(json, 2) + "\n");
}

TrainingState load_training_state(const std::filesystem::path& folder, Optimizer& optimizer) {
  const std::string source = (folder / kStateFile).string();
  Json json = read_json(source);
  TrainingState state;
  state.step = json_field<int64_t>(json, "step", source);
  state.cursor.epoch = json_field<int64_t>(json, "epoch", source);
  state.cursor.index = json_field<int64_t>(json, "index", source);
  state.tokens = json_field<int64_t>(json, "tokens", source);
  state.seconds = json_field<double>(json, "seconds", source);
  const auto steps = json_field<int64_t>(json, "optimizer_steps", source);
  require(state.step >= 0 && steps >= 0, "{}: field 'step' must not be negative", source);
  optimizer.restore(read_safetensors(folder / kOptimizerFile).tensors, steps);
  return state;
}

}  // namespace millrace
