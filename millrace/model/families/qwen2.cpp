// Qwen2 and 2.5 (Yang et al. 2024): Llama with biases of queries, keys and values.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.attention_bias = true;
  read_window_fields(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen2ForCausalLM");
  write_window_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return read_common_keys(file, file.metadata.get<std::string>("general.architecture"));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "qwen2");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {});
}

}  // namespace

extern const Family kQwen2;
const Family kQwen2 = {{"qwen2"},   {"qwen2", "qwen2vl"}, read_config, write_config,
                       read_gguf,   write_gguf,           tensors,     decoder_forward,
                       decoder_head};

}  // namespace millrace
