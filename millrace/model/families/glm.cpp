// GLM-4-9B (GLM team 2024): interleaved rope of half of each head, gates packed. GLM-4-0414 and
// GLM-Z1 (Zhipu 2025): the same with norms behind attention and MLP too.
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

Json write_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture);
  json["attention_bias"] = config.attention_bias;
  json["pad_token_id"] = Json();  // the class means one of a vocabulary of its own
  return json;
}

TensorSpecs tensors(const ModelConfig& config, DecoderNames names) {
  names.gate_up = "mlp.gate_up_proj";
  names.gguf_packs_gates = true;
  return decoder_tensors(config, names);
}

}  // namespace

extern const Family kGlm, kGlm4;

const Family kGlm = {
    {"glm"},
    {"chatglm"},
    read_config,
    [](const ModelConfig& config) { return write_config(config, "GlmForCausalLM"); },
    nullptr,
    [](const ModelConfig& config) { return write_common_keys(config, "chatglm"); },
    [](const ModelConfig& config) { return tensors(config, {}); },
    decoder_forward,
    decoder_head};

const Family kGlm4 = {
    {"glm4"},
    {"glm4"},
    read_config,
    [](const ModelConfig& config) { return write_config(config, "Glm4ForCausalLM"); },
    [](const GgufFile& file) { return with_its_rope(read_common_keys(file, "glm4")); },
    [](const ModelConfig& config) { return write_common_keys(config, "glm4"); },
    [](const ModelConfig& config) {
      return tensors(config, {.attention_norm = "post_self_attn_layernorm",
                              .output_norm = "post_mlp_layernorm"});
    },
    decoder_forward,
    decoder_head};

}  // namespace millrace
