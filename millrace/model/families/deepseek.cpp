// DeepSeek-V2 and V3 (DeepSeek-AI 2024), Kimi K2 (Moonshot 2025): latent attention and many
// experts. V2 chooses them by probabilities, V3 by biased sigmoids.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"
#include "millrace/model/latent_attention.h"

namespace millrace {
namespace {

constexpr const char* kArchitecture = "deepseek2";
constexpr ExpertFieldNames kFields = {.count = "n_routed_experts",
                                      .num_shared = "n_shared_experts"};

ModelConfig read_shared_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  auto integer = [&](const char* name) { return json_field<int64_t>(json, name, source); };
  require(config.num_kv_heads == config.num_heads,
          "{}: num_key_value_heads is {}; latent attention has as many as heads", source,
          config.num_kv_heads);
  config.latent = {.kv_rank = integer("kv_lora_rank"),
                   .q_rank = optional_json_field<int64_t>(json, "q_lora_rank", source).value_or(0),
                   .key_dim = integer("qk_nope_head_dim"),
                   .rope_dim = integer("qk_rope_head_dim"),
                   .value_dim = integer("v_head_dim")};
  const LatentConfig& latent = config.latent;
  for (const auto& [name, meant] : {std::pair("head_dim", latent.rope_dim),
                                    std::pair("qk_head_dim", latent.key_dim + latent.rope_dim)}) {
    const auto said = optional_json_field<int64_t>(json, name, source).value_or(meant);
    require(said == meant, "{}: {} is {}; the other sizes say {}", source, name, said, meant);
  }
  config.attention_bias = optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  const bool interleaved =
      optional_json_field<bool>(json, "rope_interleave", source).value_or(true);
  config.rope_pairing = interleaved ? RopePairing::interleaved : RopePairing::half_split;
  read_expert_fields(json, source, kFields, config);
  read_group_fields(json, source, config);
  validate(config, source);  // before the options, which are computed with these sizes
  set_latent_options(config);
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

Json write_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture);
  const LatentConfig& latent = config.latent;
  json["num_key_value_heads"] = config.num_heads;
  json["head_dim"] = latent.rope_dim;
  json["kv_lora_rank"] = latent.kv_rank;
  json["q_lora_rank"] = latent.q_rank > 0 ? Json(latent.q_rank) : Json();
  json["qk_nope_head_dim"] = latent.key_dim;
  json["qk_rope_head_dim"] = latent.rope_dim;
  json["v_head_dim"] = latent.value_dim;
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    if (json.contains(field)) json[field].erase("partial_rotary_factor");
  }
  json["attention_bias"] = config.attention_bias;
  json["rope_interleave"] = config.rope_pairing == RopePairing::interleaved;
  write_expert_fields(config, kFields, json);
  write_group_fields(config, json);
  json["topk_method"] = config.experts.routing.score == RouterScore::sigmoid ? "noaux_tc"
                        : config.experts.routing.groups > 1 ? "group_limited_greedy"
                                                            : "greedy";
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kArchitecture);
  auto integer = [&](const char* name, int64_t otherwise) {
    return file.metadata.get_optional<int64_t>(std::string(kArchitecture) + "." + name)
        .value_or(otherwise);
  };
  LatentConfig& latent = config.latent;
  latent.kv_rank = integer("attention.kv_lora_rank", 0);
  latent.q_rank = integer("attention.q_lora_rank", 0);
  latent.rope_dim = config.rope.rotary_dim;
  latent.key_dim = integer("attention.key_length_mla", 0) - latent.rope_dim;
  latent.value_dim = integer("attention.value_length_mla", 0);
  require(
      latent.kv_rank > 0 && config.num_kv_heads == 1,
      "{}: holds the keys and values of each head, as llama.cpp wrote deepseek2 before May 2025; "
      "convert the model again",
      file.metadata.source());
  leave_extra_layers(file, kArchitecture, config);
  read_expert_keys(file, kArchitecture, false, config);
  config.model_type = "deepseek_v3";
  if (config.experts.routing.score == RouterScore::softmax) {
    config.model_type = "deepseek_v2";
    config.experts.routing.group_best = 1;
  }
  config.rope_pairing = RopePairing::interleaved;
  const auto multiplier = file.metadata.get_optional<float>(std::string(kArchitecture) +
                                                            ".rope.scaling.yarn_log_multiplier");
  if (multiplier) config.rope.mscale = config.rope.mscale_all_dim = 10 * double{*multiplier};
  validate(config, file.metadata.source());
  set_latent_options(config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, kArchitecture);
  auto count = [&](const char* name, int64_t value) {
    keys.set(std::string(kArchitecture) + "." + name, static_cast<uint32_t>(value));
  };
  const LatentConfig& latent = config.latent;
  count("attention.kv_lora_rank", latent.kv_rank);
  if (latent.q_rank > 0) count("attention.q_lora_rank", latent.q_rank);
  count("attention.value_length", latent.kv_rank);
  count("attention.key_length_mla", latent.key_dim + latent.rope_dim);
  count("attention.value_length_mla", latent.value_dim);
  count("leading_dense_block_count", first_without_experts(config));
  write_expert_keys(config, keys);
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

extern const Family kDeepSeekV2, kDeepSeekV3;

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

}  // namespace millrace
