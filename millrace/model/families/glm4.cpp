// GLM-4-0414 and GLM-Z1 (Zhipu 2025): GLM with norms behind attention and MLP too.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig with_its_rope(ModelConfig config) {
  config.rope_pairing = RopePairing::interleaved;
  return config;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config =
      read_common_fields(json, source, {.default_norm_eps = 1.5625e-7f, .default_head_dim = 128});
  config.attention_bias = optional_json_field<bool>(json, "attention_bias", source).value_or(true);
  return with_its_rope(config);
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Glm4ForCausalLM");
  json["attention_bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return with_its_rope(read_common_keys(file, "glm4"));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "glm4");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.attention_norm = "post_self_attn_layernorm",
                                  .output_norm = "post_mlp_layernorm",
                                  .gate_up = "mlp.gate_up_proj",
                                  .gguf_packs_gates = true});
}

}  // namespace

extern const Family kGlm4;
const Family kGlm4 = {{"glm4"},   {"glm4"}, read_config,     write_config, read_gguf,
                      write_gguf, tensors,  decoder_forward, decoder_head};

}  // namespace millrace
