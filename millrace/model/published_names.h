// What published files call tensors, and which of them a model does without.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "millrace/model/model.h"

namespace millrace {

/// The names that a tensor may have, its own first: models saved without a head have no prefix
/// before their names, the norms of BERT's first files have TensorFlow's, and text models in files
/// of larger models (nested_text.h) have prefixes.
std::vector<std::string> spellings(const Model& model, const std::string& name);

/// Whether a file's tensor needs no place in the model: buffers, heads that are tied, layers that
/// predict tokens further ahead, other parts of a larger model, and what the family says.
bool is_dispensable(const Model& model, std::string_view name);

}  // namespace millrace
