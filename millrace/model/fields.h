// The configuration fields that most families share, read and written in one place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// What config.json calls the shared fields, and what holds when they are missing.
struct FieldNames {
  const char* hidden_size = "hidden_size";
  const char* num_layers = "num_hidden_layers";
  const char* num_heads = "num_attention_heads";
  const char* intermediate_size = "intermediate_size";
  const char* max_positions = "max_position_embeddings";
  const char* activation = "hidden_act";
  std::string_view default_activation = "silu";
  int64_t default_intermediate_factor = 0;  ///< of the hidden size; 0: the field must be there
  bool default_tied = false;
};

/// Sizes, rope, activation, dtype and special tokens from config.json, checked for sense.
ModelConfig read_common_fields(const Json& json, std::string_view source,
                               const FieldNames& names = {});

/// The same fields as config.json, `architecture` being the class that transformers opens it with.
Json write_common_fields(const ModelConfig& config, std::string_view architecture);

/// What Hugging Face calls an activation.
std::string_view activation_field(Activation activation);

/// Only tied embeddings, dtype, initializer range and special token ids.
void write_token_fields(const ModelConfig& config, Json& json);

/// The same from GGUF's `<architecture>.*` keys.
ModelConfig read_common_keys(const GgufFile& file, const std::string& architecture);

/// The same as GGUF's `<architecture>.*` keys.
GgufMetadata write_common_keys(const ModelConfig& config, const std::string& architecture);

}  // namespace millrace
