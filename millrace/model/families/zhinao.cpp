// 360Zhinao (Qihoo 2024): Llama with queries, keys and values packed, and biases of these.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  config.attention_bias = true;
  config.attention_output_bias = optional_json_field<bool>(json, "bias", source).value_or(false);
  return config;
}

Json write_config(const ModelConfig& config) {
  require(config.attention_bias, "a zhinao has biases of queries, keys and values");
  Json json = write_common_fields(config, "ZhinaoForCausalLM");
  json["bias"] = config.attention_output_bias;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.qkv = "self_attn.qkv_proj"});
}

}  // namespace

extern const Family kZhinao;
const Family kZhinao = {{"zhinao"}, {},      read_config,     write_config, nullptr,
                        nullptr,    tensors, decoder_forward, decoder_head};

}  // namespace millrace
