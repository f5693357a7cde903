// InternLM 3 (Shanghai AI Laboratory 2025): Llama with its own names of biases. In GGUF it is a
// llama.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_norm_eps = 1e-5f});
  config.attention_output_bias = config.mlp_bias =
      optional_json_field<bool>(json, "bias", source).value_or(false);
  config.attention_bias = optional_json_field<bool>(json, "qkv_bias", source).value_or(false);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "InternLM3ForCausalLM");
  json["bias"] = config.mlp_bias;
  json["qkv_bias"] = config.attention_bias;
  return json;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "llama");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

}  // namespace

extern const Family kInternLm3;
const Family kInternLm3 = {{"internlm3"}, {"llama"}, read_config,     write_config, nullptr,
                           write_gguf,    tensors,   decoder_forward, decoder_head};

}  // namespace millrace
