// DeepSeek-V2 and V3 (DeepSeek-AI 2024), Kimi K2 (Moonshot 2025), GLM-4.7 Flash (Zhipu 2026):
// latent attention and many experts. V2 chooses them by probabilities, the others by biased
// sigmoids. Youtu-LLM (Tencent 2025) is the same without experts.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"
#include "millrace/model/latent_attention.h"
#include "millrace/model/latent_fields.h"

namespace millrace {
namespace {

constexpr const char* kArchitecture = "deepseek2";
constexpr ExpertFieldNames kLiteFields = {
    .count = "n_routed_experts", .default_normalized = true, .num_shared = "n_shared_experts"};
constexpr ExpertFieldNames kFields = {.count = "n_routed_experts",
                                      .num_shared = "n_shared_experts"};

ModelConfig read_dense_config(const Json& json, std::string_view source,
                              const FieldNames& names = {}) {
  ModelConfig config = read_common_fields(json, source, names);
  read_latent_fields(json, source, config);
  const bool interleaved =
      optional_json_field<bool>(json, "rope_interleave", source).value_or(true);
  config.rope_pairing = interleaved ? RopePairing::interleaved : RopePairing::half_split;
  return config;
}

ModelConfig read_shared_config(const Json& json, std::string_view source) {
  ModelConfig config = read_dense_config(json, source);
  read_expert_fields(json, source, kFields, config);
  read_group_fields(json, source, config);
  return config;
}

ModelConfig read_v2_config(const Json& json, std::string_view source) {
  ModelConfig config = read_shared_config(json, source);
  const auto method = optional_json_field<std::string>(json, "topk_method", source);
  Routing& how = config.experts.routing;
  if (method.value_or("greedy") == "greedy") {
    how.groups = how.top_groups = 1;
  } else {
    require(*method == "group_limited_greedy", "{}: topk_method is {}, which is not supported",
            source, quote(*method));
  }
  how.group_best = 1;
  for (const char* field : {"norm_topk_prob", "mlp_bias"}) {
    require(!optional_json_field<bool>(json, field, source).value_or(false),
            "{}: {} is not supported in a deepseek_v2 model", source, field);
  }
  return config;
}

ModelConfig read_v3_config(const Json& json, std::string_view source) {
  ModelConfig config = read_shared_config(json, source);
  config.experts.routing.score = RouterScore::sigmoid;
  return config;
}

/// Experts where "mlp_layer_types" says, not behind "first_k_dense_replace".
ModelConfig read_lite_config(const Json& json, std::string_view source) {
  ModelConfig config = read_dense_config(json, source, {.default_norm_eps = 1e-5f});
  read_expert_fields(json, source, kLiteFields, config);
  read_group_fields(json, source, config);
  read_mlp_types(json, source, config);
  config.experts.routing.score = RouterScore::sigmoid;
  return config;
}

ModelConfig read_youtu_config(const Json& json, std::string_view source) {
  return read_dense_config(json, source, {.default_tied = true});
}

Json write_dense_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture);
  write_latent_fields(config, json);
  json["rope_interleave"] = config.rope_pairing == RopePairing::interleaved;
  return json;
}

Json write_config(const ModelConfig& config, const char* architecture) {
  Json json = write_dense_config(config, architecture);
  write_expert_fields(config, kFields, json);
  write_group_fields(config, json);
  json["topk_method"] = config.experts.routing.score == RouterScore::sigmoid ? "noaux_tc"
                        : config.experts.routing.groups > 1 ? "group_limited_greedy"
                                                            : "greedy";
  return json;
}

Json write_lite_config(const ModelConfig& config) {
  Json json = write_config(config, "Glm4MoeLiteForCausalLM");
  json.erase("first_k_dense_replace");
  write_mlp_types(config, json);
  return json;
}

Json write_youtu_config(const ModelConfig& config) {
  return write_dense_config(config, "YoutuForCausalLM");
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kArchitecture);
  require(
      config.num_kv_heads == 1,
      "{}: holds the keys and values of each head, as llama.cpp wrote deepseek2 before May 2025; "
      "convert the model again",
      file.metadata.source());
  read_latent_keys(file, kArchitecture, config);
  leave_extra_layers(file, kArchitecture, config);
  const bool has_experts = read_expert_keys(file, kArchitecture, false, config);
  config.model_type = has_experts ? "deepseek_v3" : "youtu";
  if (has_experts && config.experts.routing.score == RouterScore::softmax) {
    config.model_type = "deepseek_v2";
    config.experts.routing.group_best = 1;
  }
  config.rope_pairing = RopePairing::interleaved;
  const auto multiplier =
      file.metadata.get_optional<float>("deepseek2.rope.scaling.yarn_log_multiplier");
  if (multiplier) config.rope.mscale = config.rope.mscale_all_dim = 10 * double{*multiplier};
  validate(config, file.metadata.source());
  set_latent_options(config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, kArchitecture);
  write_latent_keys(config, false, keys);
  const bool has_experts = config.experts.routing.num_experts > 0;
  const int64_t dense = has_experts ? first_without_experts(config) : config.num_layers;
  keys.set("deepseek2.leading_dense_block_count", static_cast<uint32_t>(dense));
  if (has_experts) write_expert_keys(config, keys);
  if (config.rope.mscale_all_dim != 0) {
    keys.set("deepseek2.rope.scaling.yarn_log_multiplier",
             static_cast<float>(0.1 * config.rope.mscale_all_dim));
  }
  return keys;
}

TensorSpecs v2_tensors(const ModelConfig& config) {
  return decoder_tensors(config, {});
}

TensorSpecs v3_tensors(const ModelConfig& config) {
  return decoder_tensors(config,
                         {.experts = {.selection_bias = "mlp.gate.e_score_correction_bias"}});
}

}  // namespace

extern const Family kDeepSeekV2, kDeepSeekV3, kGlm4MoeLite, kYoutu;

const Family kDeepSeekV2 = {
    {"deepseek_v2"},
    {kArchitecture},
    read_v2_config,
    [](const ModelConfig& config) { return write_config(config, "DeepseekV2ForCausalLM"); },
    nullptr,
    write_gguf,
    v2_tensors,
    decoder_forward,
    decoder_head};

const Family kDeepSeekV3 = {
    {"deepseek_v3", "kimi_k2"},
    {kArchitecture},
    read_v3_config,
    [](const ModelConfig& config) { return write_config(config, "DeepseekV3ForCausalLM"); },
    read_gguf,
    write_gguf,
    v3_tensors,
    decoder_forward,
    decoder_head};

const Family kGlm4MoeLite = {{"glm4_moe_lite"}, {kArchitecture}, read_lite_config,
                             write_lite_config, nullptr,         write_gguf,
                             v3_tensors,        decoder_forward, decoder_head};

const Family kYoutu = {{"youtu"},  {kArchitecture}, read_youtu_config, write_youtu_config, nullptr,
                       write_gguf, v2_tensors,      decoder_forward,   decoder_head};

}  // namespace millrace
