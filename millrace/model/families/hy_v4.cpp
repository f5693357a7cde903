// Hy4 (Tencent 2026): a residual of several streams, DeepSeek-V3.2's attention with sinks and gated
// outputs, experts chosen by biased sigmoids whose gates have a limit.
#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"
#include "millrace/model/indexer_fields.h"
#include "millrace/model/latent_fields.h"

namespace millrace {
namespace {

constexpr FieldNames kNames = {.default_norm_eps = 1e-5f};
constexpr ExpertFieldNames kFields = {
    .count = "n_routed_experts", .default_normalized = true, .num_shared = "n_shared_experts"};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  read_latent_fields(json, source, config);
  config.latent.gated = config.latent.sinks = true;
  read_indexer_fields(json, source, config);
  read_indexer_types(json, source, config);
  config.indexer.rope_last = true;
  config.indexer.norm_eps = config.norm_eps;
  read_expert_fields(json, source, kFields, config);
  read_group_fields(json, source, config);
  read_mlp_types(json, source, config);
  config.experts.routing.score = RouterScore::sigmoid;
  auto number = [&](const char* field, float otherwise) {
    return optional_json_field<float>(json, field, source).value_or(otherwise);
  };
  config.clamped_glu = {1, std::max(number("swiglu_limit", 10), 0.0f), 0};
  const std::vector<float> none(static_cast<size_t>(config.num_layers), 0);
  config.mlp_limits = none;
  if (config.clamped_glu->limit == 0) config.clamped_glu.reset();
  config.streams = {optional_json_field<int64_t>(json, "hc_mult", source).value_or(4),
                    number("hc_magnitude", 2), number("hc_eps", 1e-6f)};
  require(config.streams.count > 0, "{}: hc_mult is {}; it must be positive", source,
          config.streams.count);
  validate(config, source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "HYV4ForCausalLM", kNames);
  write_latent_fields(config, json);
  write_indexer_fields(config, json);
  write_indexer_types(config, json);
  write_expert_fields(config, kFields, json);
  write_group_fields(config, json);
  write_mlp_types(config, json);
  json["swiglu_limit"] = config.clamped_glu ? config.clamped_glu->limit : 0;
  json["hc_mult"] = config.streams.count;
  json["hc_magnitude"] = config.streams.magnitude;
  json["hc_eps"] = config.streams.epsilon;
  json["pad_token_id"] = Json();  // the class means one of a vocabulary of its own
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.experts = {.selection_bias = "mlp.gate.e_score_correction_bias",
                                              .stacked_gate_up = "mlp.experts.gate_up_proj",
                                              .stacked_down = "mlp.experts.down_proj",
                                              .stacks_as_used = true}});
}

}  // namespace

extern const Family kHyV4;
const Family kHyV4 = {{"hy_v4"}, {},      read_config,     write_config, nullptr,
                      nullptr,   tensors, decoder_forward, decoder_head};

}  // namespace millrace
