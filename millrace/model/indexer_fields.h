// The configuration fields of DeepSeek's indexers, read and written in one place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// "index_n_heads", "index_head_dim" and "index_topk".
void read_indexer_fields(const Json& json, std::string_view source, ModelConfig& config);
void write_indexer_fields(const ModelConfig& config, Json& json);

/// Which layers have an indexer and which share the last one's: "indexer_types", where missing
/// "index_topk_pattern" or "index_topk_freq" and "index_skip_topk_offset".
void read_indexer_types(const Json& json, std::string_view source, ModelConfig& config);
void write_indexer_types(const ModelConfig& config, Json& json);

/// The same from GGUF's `<architecture>.attention.indexer.*` keys, which know of no sharing.
void read_indexer_keys(const GgufFile& file, const std::string& architecture, ModelConfig& config);
/// Throws Error where layers share indexers.
void write_indexer_keys(const ModelConfig& config, GgufMetadata& keys);

}  // namespace millrace
