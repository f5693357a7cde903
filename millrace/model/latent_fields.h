// The configuration fields of latent attention, read and written in one place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// DeepSeek's fields, and what they mean for the rest of the configuration. `default_value_dim` 0:
/// "v_head_dim" must be there.
void read_latent_fields(const Json& json, std::string_view source, ModelConfig& config,
                        int64_t default_value_dim = 0);
void write_latent_fields(const ModelConfig& config, Json& json);

/// The same from GGUF's `<architecture>.attention.*` keys.
void read_latent_keys(const GgufFile& file, const std::string& architecture, ModelConfig& config);
/// Sizes are those of the one head that attention runs with, and of the model's beside them, or
/// `per_head` of the model's alone.
void write_latent_keys(const ModelConfig& config, bool per_head, GgufMetadata& keys);

}  // namespace millrace
