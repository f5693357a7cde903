// DeepSeek-V3.2 (DeepSeek-AI 2025): V3 whose keys an indexer chooses. GLM-5 (Zhipu 2026) is the
// same, but for how rope pairs an indexer's values; layers may share one.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"
#include "millrace/model/indexer_fields.h"
#include "millrace/model/latent_attention.h"
#include "millrace/model/latent_fields.h"

namespace millrace {
namespace {

constexpr const char* kGlm = "glm-dsa";
constexpr ExpertFieldNames kFields = {
    .count = "n_routed_experts", .default_normalized = true, .num_shared = "n_shared_experts"};

ModelConfig read_shared_config(const Json& json, std::string_view source, const FieldNames& names) {
  ModelConfig config = read_common_fields(json, source, names);
  read_latent_fields(json, source, config);
  read_indexer_fields(json, source, config);
  config.rope_pairing = RopePairing::interleaved;
  read_expert_fields(json, source, kFields, config);
  read_group_fields(json, source, config);
  if (json.contains("mlp_layer_types")) read_mlp_types(json, source, config);
  require(!optional_json_field<bool>(json, "mlp_bias", source).value_or(false),
          "{}: mlp_bias is not supported in a {} model", source, config.model_type);
  config.experts.routing.score = RouterScore::sigmoid;
  return config;
}

/// How rope pairs an indexer's values, where files say it.
RopePairing indexer_pairing(const Json& json, std::string_view source, bool interleaved) {
  return optional_json_field<bool>(json, "indexer_rope_interleave", source).value_or(interleaved)
             ? RopePairing::interleaved
             : RopePairing::half_split;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_shared_config(json, source, {});
  config.indexer.rope_pairing = indexer_pairing(json, source, false);
  return config;
}

ModelConfig read_glm_config(const Json& json, std::string_view source) {
  ModelConfig config = read_shared_config(json, source, {.default_norm_eps = 1e-5f});
  config.indexer.rope_pairing = indexer_pairing(json, source, true);
  read_indexer_types(json, source, config);
  return config;
}

Json write_shared_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture);
  write_latent_fields(config, json);
  write_indexer_fields(config, json);
  write_expert_fields(config, kFields, json);
  write_group_fields(config, json);
  write_mlp_types(config, json);
  json["indexer_rope_interleave"] = config.indexer.rope_pairing == RopePairing::interleaved;
  return json;
}

Json write_config(const ModelConfig& config) {
  return write_shared_config(config, "DeepseekV32ForCausalLM");
}

Json write_glm_config(const ModelConfig& config) {
  Json json = write_shared_config(config, "GlmMoeDsaForCausalLM");
  write_indexer_types(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kGlm);
  config.model_type = "glm_moe_dsa";
  read_latent_keys(file, kGlm, config);
  read_indexer_keys(file, kGlm, config);
  leave_extra_layers(file, kGlm, config);
  read_expert_keys(file, kGlm, true, config);
  config.rope_pairing = config.indexer.rope_pairing = RopePairing::interleaved;
  validate(config, file.metadata.source());
  set_latent_options(config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  require(config.indexer.rope_pairing == RopePairing::interleaved,
          "GGUF's {} means an indexer whose rope is interleaved", kGlm);
  GgufMetadata keys = write_common_keys(config, kGlm);
  write_latent_keys(config, false, keys);
  write_indexer_keys(config, keys);
  write_expert_keys(config, keys);
  keys.set("glm-dsa.leading_dense_block_count",
           static_cast<uint32_t>(first_without_experts(config)));
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config,
                         {.experts = {.selection_bias = "mlp.gate.e_score_correction_bias"}});
}

}  // namespace

extern const Family kDeepSeekV32, kGlmMoeDsa;

const Family kDeepSeekV32 = {{"deepseek_v32"}, {},      read_config,     write_config, nullptr,
                             nullptr,          tensors, decoder_forward, decoder_head};

const Family kGlmMoeDsa = {{"glm_moe_dsa"}, {kGlm},  read_glm_config, write_glm_config, read_gguf,
                           write_gguf,      tensors, decoder_forward, decoder_head};

}  // namespace millrace
