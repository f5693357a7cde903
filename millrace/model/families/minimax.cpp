// MiniMax-Text-01 and M1 (MiniMax 2025): most layers have lightning attention, the others softmax
// attention; all have experts. Residuals are the normed states.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {.default_norm_eps = 1e-5f, .default_rope_theta = 1e6};
constexpr ExpertFieldNames kFields = {.count = "num_local_experts",
                                      .intermediate_size = "",
                                      .normalized = "",
                                      .default_normalized = true};

/// A factor by transformers' name and by that of the model's own code.
struct FactorField {
  const char *name, *own_name;
  float ResidualFactors::*part;
  ResidualFactors ModelConfig::*of;
};
using Factors = ResidualFactors;
constexpr FactorField kFactors[] = {
    {"full_attn_alpha_factor", "layernorm_full_attention_alpha", &Factors::residual,
     &ModelConfig::attention_residual},
    {"full_attn_beta_factor", "layernorm_full_attention_beta", &Factors::output,
     &ModelConfig::attention_residual},
    {"linear_attn_alpha_factor", "layernorm_linear_attention_alpha", &Factors::residual,
     &ModelConfig::linear_residual},
    {"linear_attn_beta_factor", "layernorm_linear_attention_beta", &Factors::output,
     &ModelConfig::linear_residual},
    {"mlp_alpha_factor", "layernorm_mlp_alpha", &Factors::residual, &ModelConfig::mlp_residual},
    {"mlp_beta_factor", "layernorm_mlp_beta", &Factors::output, &ModelConfig::mlp_residual},
};

/// "layer_types" in transformers' class, "attn_type_list" of 0 and 1 in the model's own code; where
/// there are none, the layers take turns.
std::vector<bool> read_lightning(const Json& json, std::string_view source, int64_t num_layers) {
  const bool own = json.contains("attn_type_list");
  const char* field = own ? "attn_type_list" : "layer_types";
  const Json lightning = own ? Json(0) : Json("linear_attention");
  const Json softmax = own ? Json(1) : Json("full_attention");
  std::vector<bool> result;
  const auto types = json.find(field);
  if (types == json.end() || types->is_null()) {
    for (int64_t i = 0; i < num_layers; ++i) result.push_back(i % 2 == 1);
    return result;
  }
  require(types->is_array(), "{}: {} must be an array", source, field);
  for (const Json& type : *types) {
    require(type == lightning || type == softmax, "{}: {} has {}, which is not supported", source,
            field, quote(type.dump()));
    result.push_back(type == lightning);
  }
  return result;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  config.model_type = "minimax";
  config.linear_layers = read_lightning(json, source, config.num_layers);
  config.normed_residual = optional_json_field<bool>(json, "postnorm", source).value_or(true);
  require(config.normed_residual, "{}: 'postnorm' is false, which no published MiniMax has",
          source);
  for (const FactorField& factor : kFactors) {
    const char* name = json.contains(factor.own_name) ? factor.own_name : factor.name;
    (config.*factor.of).*factor.part = optional_json_field<float>(json, name, source).value_or(1);
  }
  config.sliding_window = optional_json_field<int64_t>(json, "sliding_window", source).value_or(0);
  read_expert_fields(json, source, kFields, config);
  require(optional_json_field<int64_t>(json, "shared_intermediate_size", source).value_or(0) == 0,
          "{}: shared experts are not supported in a MiniMax", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MiniMaxForCausalLM", kNames);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    json["layer_types"].push_back(config.is_linear(i) ? "linear_attention" : "full_attention");
  }
  for (const FactorField& factor : kFactors) json[factor.name] = (config.*factor.of).*factor.part;
  json["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
  if (config.rope.rotary_dim != config.head_dim) json["rotary_dim"] = config.rope.rotary_dim;
  write_expert_fields(config, kFields, json);
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.experts = {.router = "block_sparse_moe.gate",
                                                           .expert = "block_sparse_moe.experts.{}.",
                                                           .parts = {"w1", "w3", "w2"}}});
  specs.unneeded = {".slope_rate", ".query_decay", ".key_decay", ".diagonal_decay"};
  return specs;
}

}  // namespace

extern const Family kMiniMax;
const Family kMiniMax = {{"minimax", "minimax_text_01", "minimax_m1"},
                         {},
                         read_config,
                         write_config,
                         nullptr,
                         nullptr,
                         tensors,
                         decoder_forward,
                         decoder_head};

}  // namespace millrace
