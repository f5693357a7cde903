// Qwen3-Next (Qwen team 2025): three layers of four have gated delta nets, the others attention
// whose output is gated; all have experts. Files leave 1 off the norms' weights.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/delta_net_fields.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {.default_head_dim = 256, .default_rotary_factor = 0.25};
constexpr ExpertFieldNames kFields = {.default_normalized = true};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.gated_attention = true;
  read_delta_net_fields(json, source, config);
  read_expert_fields(json, source, kFields, config);
  read_sparse_step(json, source, config);
  config.experts.shared_intermediate_size =
      json_field<int64_t>(json, "shared_expert_intermediate_size", source);
  config.experts.shared_gate = true;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen3NextForCausalLM", kNames);
  json["attention_bias"] = config.attention_bias;
  write_delta_net_fields(config, json);
  write_expert_fields(config, kFields, json);
  write_sparse_step(config, json);
  json["shared_expert_intermediate_size"] = config.experts.shared_intermediate_size;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "qwen3next");
  config.gated_attention = true;
  read_delta_net_keys(file, "qwen3next", config);
  read_expert_keys(file, "qwen3next", true, config);
  config.experts.shared_gate = true;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "qwen3next");
  write_delta_net_keys(config, keys);
  write_expert_keys(config, keys);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                               .k_norm = "self_attn.k_norm",
                                               .experts = {.shared = "mlp.shared_expert."},
                                               .delta_net = DeltaNetFiles::by_key_head,
                                               .gguf_mlp_norm = "post_attention_norm",
                                               .norm_offset = 1});
  specs.unneeded_beginnings = {"mtp."};  // what predicts further ahead
  return specs;
}

}  // namespace

extern const Family kQwen3Next;
const Family kQwen3Next = {{"qwen3_next"}, {"qwen3next"}, read_config,     write_config, read_gguf,
                           write_gguf,     tensors,       decoder_forward, decoder_head};

}  // namespace millrace
