// What published files call tensors, and which of them a model does without.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/model/model.h"

namespace millrace {

/// The names that a tensor may have, its own first: models saved without a head have no prefix
/// before their names, the norms of BERT's first files have TensorFlow's, and text models in files
/// of larger models (nested_text.h) have prefixes.
std::vector<std::string> spellings(const Model& model, const std::string& name);

/// Where an expert's matrix lies in files that stack those of all, [experts, …]: gates and up
/// projections beside each other, as Qwen3-VL has them.
struct StackedExpert {
  std::string name;    ///< of the stack
  int64_t expert = 0;  ///< its slice
  int64_t part = 0;    ///< of the slice, as many as
  int64_t parts = 1;
};
/// That of the matrix of one expert, by its own name; nullopt for another tensor.
std::optional<StackedExpert> stacked_expert(const std::string& name);

/// Whether a file's tensor needs no place in the model: buffers, heads that are tied, layers that
/// predict tokens further ahead, other parts of a larger model, and what the family says.
bool is_dispensable(const Model& model, std::string_view name);

}  // namespace millrace
