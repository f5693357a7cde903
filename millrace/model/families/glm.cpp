// GLM-4-9B (GLM team 2024): interleaved rope of half of each head, gates packed.
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
  Json json = write_common_fields(config, "GlmForCausalLM");
  json["attention_bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return with_its_rope(read_common_keys(file, "chatglm"));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "chatglm");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gate_up = "mlp.gate_up_proj", .gguf_packs_gates = true});
}

}  // namespace

extern const Family kGlm;
const Family kGlm = {{"glm"},    {"chatglm"}, read_config,     write_config, read_gguf,
                     write_gguf, tensors,     decoder_forward, decoder_head};

}  // namespace millrace
