// The configuration fields of experts, read and written in one place.
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/model/config.h"

namespace millrace {

/// What config.json calls them. A name that is empty stands for no field.
struct ExpertFieldNames {
  const char* count = "num_experts";
  const char* top_k = "num_experts_per_tok";
  const char* intermediate_size = "moe_intermediate_size";  ///< empty: the model's own
  const char* normalized = "norm_topk_prob";
  bool default_normalized = false;
  const char* num_shared = "";  ///< shared experts, which are one of as many times the size
};

void read_expert_fields(const Json& json, std::string_view source, const ExpertFieldNames& names,
                        ModelConfig& config);
void write_expert_fields(const ModelConfig& config, const ExpertFieldNames& names, Json& json);

/// Qwen's "decoder_sparse_step" and "mlp_only_layers".
void read_sparse_step(const Json& json, std::string_view source, ModelConfig& config);
void write_sparse_step(const ModelConfig& config, Json& json);

/// "mlp_layer_types", where missing "first_k_dense_replace" layers without experts, where missing
/// one.
void read_mlp_types(const Json& json, std::string_view source, ModelConfig& config);
void write_mlp_types(const ModelConfig& config, Json& json);

/// DeepSeek's: layers without experts come first, the best of `n_group` groups may be chosen from,
/// weights are scaled.
void read_group_fields(const Json& json, std::string_view source, ModelConfig& config);
void write_group_fields(const ModelConfig& config, Json& json);

/// The first `count` layers have no experts.
void without_first_experts(int64_t count, ModelConfig& config);
/// How many that are. Throws Error where other layers have none either.
int64_t first_without_experts(const ModelConfig& config);

/// GGUF counts layers that predict further ahead among the others; they are left where they are.
void leave_extra_layers(const GgufFile& file, const std::string& architecture, ModelConfig& config);

/// The same from GGUF's `<architecture>.expert_*` keys, and whether there are experts at all.
/// `normalized` holds where the file does not say.
bool read_expert_keys(const GgufFile& file, const std::string& architecture, bool normalized,
                      ModelConfig& config);
void write_expert_keys(const ModelConfig& config, GgufMetadata& keys);

}  // namespace millrace
