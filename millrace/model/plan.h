// What a Hugging Face folder says of its model by config.json and the index of its weights, which
// need not be there: whether Millrace can open it, and what that would take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "millrace/model/model.h"

namespace millrace {

struct ModelPlan {
  std::unique_ptr<const Model> model;  ///< without values
  int64_t active_parameters = 0;       ///< that a token uses: fewer where there are experts
  int64_t weight_bytes = 0;            ///< in memory, at most
  int64_t file_bytes = 0;              ///< of the weights' files, as the index says; 0: it does not
  int64_t cache_bytes = 0;             ///< for each position, at most
  std::string index;                   ///< the index that was read; empty: there is none
  int64_t num_tensors = 0;             ///< that it names
  int64_t num_other_tensors = 0;       ///< of those, of other parts than the text's (nested_text.h)
  std::vector<std::string> missing;    ///< names of weights that the model needs and it has not
  std::vector<std::string> unexpected;  ///< names in it that have no place in the model

  bool fits() const { return missing.empty() && unexpected.empty(); }
};

/// Reads config.json, and model.safetensors.index.json or pytorch_model.bin.index.json where there
/// is one. Throws Error as load_model does for a configuration that is not supported.
ModelPlan plan_model(const std::filesystem::path& folder);

}  // namespace millrace
