// Qwen3 (Yang et al. 2025), dense: Llama with norms of each query and key.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_head_dim = 128});
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  read_window_fields(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen3ForCausalLM");
  json["attention_bias"] = config.attention_bias;
  write_window_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return read_common_keys(file, file.metadata.get<std::string>("general.architecture"));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "qwen3");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"});
}

}  // namespace

extern const Family kQwen3;
const Family kQwen3 = {{"qwen3"},   {"qwen3", "qwen3vl"}, read_config, write_config,
                       read_gguf,   write_gguf,           tensors,     decoder_forward,
                       decoder_head};

}  // namespace millrace
