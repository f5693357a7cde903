// InternLM (Shanghai AI Laboratory 2023) and openPangu Embedded (Huawei 2025): Llama with biases of
// all of attention. In GGUF it is a llama.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "bias", source).value_or(true);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(
      config, config.model_type == "internlm" ? "InternLMForCausalLM" : "PanguEmbeddedForCausalLM");
  json["bias"] = config.attention_bias;
  return json;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "llama");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

}  // namespace

extern const Family kInternLm;
const Family kInternLm = {{"internlm", "PanguEmbedded"},
                          {"llama"},
                          read_config,
                          write_config,
                          nullptr,
                          write_gguf,
                          tensors,
                          decoder_forward,
                          decoder_head};

}  // namespace millrace
