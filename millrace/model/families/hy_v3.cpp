// Hy3 (Tencent 2026): norms of queries and keys before rope, experts chosen by sigmoids with a
// bias, one shared.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kNames = {
    .default_norm_eps = 1e-5f, .default_head_dim = 128, .default_rope_theta = 11158840};
constexpr ExpertFieldNames kFields = {
    .normalized = "", .default_normalized = true, .num_shared = "num_shared_experts"};
constexpr const char* kName = "hy_v3";
constexpr const char* kScale = "router_scaling_factor";

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.mlp_bias = optional_json_field<bool>(json, "mlp_bias", source).value_or(false);
  read_expert_fields(json, source, kFields, config);
  read_mlp_types(json, source, config);
  config.experts.routing.score = RouterScore::sigmoid;
  config.experts.routing.scale = optional_json_field<float>(json, kScale, source).value_or(1);
  config.num_extra_layers =
      optional_json_field<int64_t>(json, "num_nextn_predict_layers", source).value_or(0);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "HYV3ForCausalLM", kNames);
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  write_expert_fields(config, kFields, json);
  write_mlp_types(config, json);
  json[kScale] = config.experts.routing.scale;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kName);
  leave_extra_layers(file, kName, config);
  read_expert_keys(file, kName, true, config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, kName);
  write_expert_keys(config, keys);
  keys.set("hy_v3.leading_dense_block_count", static_cast<uint32_t>(first_without_experts(config)));
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                  .k_norm = "self_attn.k_norm",
                                  .experts = {.router = "mlp.router.gate",
                                              .selection_bias = "mlp.expert_bias",
                                              .shared = "mlp.shared_mlp."}});
}

}  // namespace

extern const Family kHyV3;
const Family kHyV3 = {{kName},    {kName}, read_config,     write_config, read_gguf,
                      write_gguf, tensors, decoder_forward, decoder_head};

}  // namespace millrace
