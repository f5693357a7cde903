// Text models inside the files of models that read images or sound too. Their text part runs as the
// family that it is; the tensors of other parts are left where they are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/model/model.h"

namespace millrace {

/// The config.json that the text model inside `json` would have by itself, with what the model
/// around it says of both: `json` where it is a text model's. Throws Error naming `source`.
Json text_model_json(const Json& json, std::string_view source);

/// "the text part of a gemma3 model, which reads no images and no sound here".
std::string describe_part(const ModelConfig& config);

/// What a tensor of a text model may be called in the files of the model around it, `name` first.
std::vector<std::string> nested_names(const std::string& name);

/// The other way: what the text model calls a file's tensor. Empty for one of another part.
std::string name_in_text_model(const Model& model, std::string_view name);

}  // namespace millrace
