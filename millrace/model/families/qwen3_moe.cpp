// Qwen3 (Yang et al. 2025) with experts.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_head_dim = 128});
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  read_window_fields(json, source, config);
  read_expert_fields(json, source, {}, config);
  read_sparse_step(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen3MoeForCausalLM");
  json["attention_bias"] = config.attention_bias;
  write_window_fields(config, json);
  write_expert_fields(config, {}, json);
  write_sparse_step(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  const auto architecture = file.metadata.get<std::string>("general.architecture");
  ModelConfig config = read_common_keys(file, architecture);
  read_expert_keys(file, architecture, true, config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "qwen3moe");
  write_expert_keys(config, keys);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"});
}

}  // namespace

extern const Family kQwen3Moe;
const Family kQwen3Moe = {{"qwen3_moe"}, {"qwen3moe", "qwen3vlmoe"},
                          read_config,   write_config,
                          read_gguf,     write_gguf,
                          tensors,       decoder_forward,
                          decoder_head};

}  // namespace millrace
