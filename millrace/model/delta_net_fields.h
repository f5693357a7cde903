// The configuration fields of delta nets and of the layers that have them, read and written in one
// place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// Qwen's "linear_*" fields, and "layer_types" or, where missing, "full_attention_interval".
void read_delta_net_fields(const Json& json, std::string_view source, ModelConfig& config);
void write_delta_net_fields(const ModelConfig& config, Json& json);

/// The same from GGUF's `<architecture>.ssm.*` keys, and which layers have biases of attention.
/// Throws Error for writing where layers do not take turns as GGUF says it.
void read_delta_net_keys(const GgufFile& file, const std::string& architecture,
                         ModelConfig& config);
void write_delta_net_keys(const ModelConfig& config, GgufMetadata& keys);

}  // namespace millrace
