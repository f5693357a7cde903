// Hunyuan dense (Tencent 2025): Llama with norms of each query and key behind rope.
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

/// What its configurations call dynamic rope scaling is a fixed one, where they give an alpha.
void apply_alpha(const Json& json, std::string_view source, RopeParameters& rope) {
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    auto object = json.find(field);
    if (object == json.end() || !object->is_object()) continue;
    const auto alpha = optional_json_field<double>(*object, "alpha", source);
    if (!alpha || *alpha == 0 || rope.scaling != RopeScaling::dynamic) return;
    require(*alpha > 0 && rope.rotary_dim > 2, "{}: rope's alpha is {}", source, *alpha);
    const auto dim = static_cast<double>(rope.rotary_dim);
    rope.theta *= std::pow(*alpha, dim / (dim - 2));
    rope.scaling = RopeScaling::none;
    return;
  }
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_norm_eps = 1e-5f});
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.head_norms_after_rope = true;
  apply_alpha(json, source, config.rope);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "HunYuanDenseV1ForCausalLM");
  json["attention_bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "hunyuan-dense");
  config.head_norms_after_rope = true;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "hunyuan-dense");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(
      config, {.q_norm = "self_attn.query_layernorm", .k_norm = "self_attn.key_layernorm"});
}

}  // namespace

extern const Family kHunYuanDense;
const Family kHunYuanDense = {
    {"hunyuan_v1_dense"}, {"hunyuan-dense"}, read_config,     write_config, read_gguf,
    write_gguf,           tensors,           decoder_forward, decoder_head};

}  // namespace millrace
