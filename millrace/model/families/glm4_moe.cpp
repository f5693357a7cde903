// GLM-4.5 and 4.6 (Zhipu 2025): rope of half of each head, experts routed as DeepSeek-V3's.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kNames = {
    .default_norm_eps = 1e-5f, .default_head_dim = 128, .default_rotary_factor = 0.5};
constexpr ExpertFieldNames kFields = {
    .count = "n_routed_experts", .default_normalized = true, .num_shared = "n_shared_experts"};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  auto flag = [&](const char* field) {
    return optional_json_field<bool>(json, field, source).value_or(false);
  };
  config.attention_bias = flag("attention_bias");
  config.head_norms = flag("use_qk_norm");
  read_expert_fields(json, source, kFields, config);
  read_group_fields(json, source, config);
  config.experts.routing.score = RouterScore::sigmoid;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Glm4MoeForCausalLM", kNames);
  json["attention_bias"] = config.attention_bias;
  json["use_qk_norm"] = config.head_norms;
  write_expert_fields(config, kFields, json);
  write_group_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "glm4moe");
  leave_extra_layers(file, "glm4moe", config);
  read_expert_keys(file, "glm4moe", true, config);
  config.head_norms = file.tensors.find("blk.0.attn_q_norm.weight") != nullptr;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "glm4moe");
  write_expert_keys(config, keys);
  keys.set("glm4moe.leading_dense_block_count",
           static_cast<uint32_t>(first_without_experts(config)));
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  const bool normed = config.head_norms;
  return decoder_tensors(config, {.q_norm = normed ? "self_attn.q_norm" : "",
                                  .k_norm = normed ? "self_attn.k_norm" : "",
                                  .experts = {.selection_bias = "mlp.gate.e_score_correction_bias"},
                                  .gguf_mlp_norm = "post_attention_norm"});
}

}  // namespace

extern const Family kGlm4Moe;
const Family kGlm4Moe = {{"glm4_moe"}, {"glm4moe"}, read_config,     write_config, read_gguf,
                         write_gguf,   tensors,     decoder_forward, decoder_head};

}  // namespace millrace
