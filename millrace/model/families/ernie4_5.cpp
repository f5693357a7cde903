// ERNIE 4.5 (Baidu 2025), dense: Llama with interleaved rope, with all biases or none.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig with_its_rope(ModelConfig config) {
  config.rope_pairing = RopePairing::interleaved;
  return config;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(
      json, source,
      {.default_tied = true, .default_norm_eps = 1e-5f, .default_rope_theta = 500000});
  config.attention_bias = config.attention_output_bias = config.mlp_bias =
      optional_json_field<bool>(json, "use_bias", source).value_or(false);
  return with_its_rope(config);
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Ernie4_5ForCausalLM");
  json["use_bias"] = config.mlp_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return with_its_rope(read_common_keys(file, "ernie4_5"));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "ernie4_5");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {});
}

}  // namespace

extern const Family kErnie45;
const Family kErnie45 = {{"ernie4_5"}, {"ernie4_5"}, read_config,     write_config, read_gguf,
                         write_gguf,   tensors,      decoder_forward, decoder_head};

}  // namespace millrace
