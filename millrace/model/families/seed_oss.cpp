// Seed-OSS (ByteDance 2025): Llama with biases chosen one by one.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  auto flag = [&](const char* field, bool otherwise) {
    return optional_json_field<bool>(json, field, source).value_or(otherwise);
  };
  config.attention_bias = flag("attention_bias", true);
  config.attention_output_bias = flag("attention_out_bias", false);
  config.mlp_bias = flag("mlp_bias", false);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "SeedOssForCausalLM");
  json["attention_bias"] = config.attention_bias;
  json["attention_out_bias"] = config.attention_output_bias;
  json["mlp_bias"] = config.mlp_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return read_common_keys(file, "seed_oss");
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "seed_oss");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_mlp_norm = "post_attention_norm"});
}

}  // namespace

extern const Family kSeedOss;
const Family kSeedOss = {{"seed_oss"}, {"seed_oss"}, read_config,     write_config, read_gguf,
                         write_gguf,   tensors,      decoder_forward, decoder_head};

}  // namespace millrace
