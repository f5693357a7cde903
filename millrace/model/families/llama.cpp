// Llama 1, 2 and 3 (Touvron et al. 2023) and what shares their layout, SmolLM2 and Yi among them.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.mlp_bias = optional_json_field<bool>(json, "mlp_bias", source).value_or(false);
  return config;
}

Json write_config(const ModelConfig& config) {
  require(config.attention_bias == config.attention_output_bias,
          "a Llama with biases of queries, keys and values has one of attention's output too");
  Json json = write_common_fields(config, "LlamaForCausalLM");
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "llama");
  if (config.attention_bias != config.attention_output_bias) config.model_type = "internlm3";
  if (config.sliding_window > 0) config.model_type = "mistral";
  if (read_expert_keys(file, "llama", true, config)) config.model_type = "mixtral";
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "llama");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

}  // namespace

extern const Family kLlama;
const Family kLlama = {{"llama", "Yi", "skywork"},
                       {"llama"},
                       read_config,
                       write_config,
                       read_gguf,
                       write_gguf,
                       tensors,
                       decoder_forward,
                       decoder_head};

}  // namespace millrace
