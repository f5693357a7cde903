// Qwen1.5-MoE and Qwen2 (Yang et al. 2024) with experts: one more that all share has a gate.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.attention_bias = optional_json_field<bool>(json, "qkv_bias", source).value_or(true);
  read_window_fields(json, source, config);
  read_expert_fields(json, source, {}, config);
  read_sparse_step(json, source, config);
  config.experts.shared_intermediate_size =
      json_field<int64_t>(json, "shared_expert_intermediate_size", source);
  config.experts.shared_gate = true;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen2MoeForCausalLM");
  json["qkv_bias"] = config.attention_bias;
  write_window_fields(config, json);
  write_expert_fields(config, {}, json);
  write_sparse_step(config, json);
  json["shared_expert_intermediate_size"] = config.experts.shared_intermediate_size;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "qwen2moe");
  read_expert_keys(file, "qwen2moe", false, config);
  config.experts.shared_gate = true;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "qwen2moe");
  write_expert_keys(config, keys);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.experts = {.shared = "mlp.shared_expert."}});
}

}  // namespace

extern const Family kQwen2Moe;
const Family kQwen2Moe = {{"qwen2_moe"}, {"qwen2moe"}, read_config,     write_config, read_gguf,
                          write_gguf,    tensors,      decoder_forward, decoder_head};

}  // namespace millrace
