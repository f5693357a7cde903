// Qwen3.5 (Qwen team 2026), the text part, dense and with experts: Qwen3-Next whose delta nets have
// their projections by kind.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/delta_net_fields.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {.default_head_dim = 256, .default_rotary_factor = 0.25};

void read_own_fields(const Json& json, std::string_view source, ModelConfig& config) {
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.gated_attention =
      optional_json_field<bool>(json, "attn_output_gate", source).value_or(true);
  require(config.gated_attention, "{}: 'attn_output_gate' is false, which no published Qwen3.5 has",
          source);
  read_delta_net_fields(json, source, config);
}

void write_own_fields(const ModelConfig& config, Json& json) {
  json["attention_bias"] = config.attention_bias;
  write_delta_net_fields(config, json);
}

ModelConfig read_own_keys(const GgufFile& file, const std::string& architecture) {
  ModelConfig config = read_common_keys(file, architecture);
  config.gated_attention = true;
  leave_extra_layers(file, architecture, config);
  read_delta_net_keys(file, architecture, config);
  config.delta_net.turns = config.delta_net.value_heads != config.delta_net.key_heads;
  return config;
}

GgufMetadata write_own_keys(const ModelConfig& config, const std::string& architecture) {
  GgufMetadata keys = write_common_keys(config, architecture);
  // What of a head's pairs the positions in images turn; those of a text are one.
  const auto pairs = static_cast<int32_t>(config.rope.rotary_dim / 2);
  keys.set_array(architecture + ".rope.dimension_sections",
                 std::vector<int32_t>{(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3, 0});
  write_delta_net_keys(config, keys);
  return keys;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  read_own_fields(json, source, config);
  return config;
}

ModelConfig read_gguf(const GgufFile& file) {
  return read_own_keys(file, "qwen35");
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_own_keys(config, "qwen35");
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen3_5ForCausalLM", kNames);
  write_own_fields(config, json);
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                               .k_norm = "self_attn.k_norm",
                                               .experts = {.shared = "mlp.shared_expert."},
                                               .delta_net = DeltaNetFiles::by_kind,
                                               .gguf_mlp_norm = "post_attention_norm",
                                               .norm_offset = 1});
  specs.unneeded_beginnings = {"mtp."};  // what predicts further ahead
  return specs;
}

namespace moe {

// All layers have experts, so none has an MLP that "intermediate_size" would be of.
const FieldNames kNames = {.intermediate_size = "moe_intermediate_size",
                           .default_head_dim = 256,
                           .default_rotary_factor = 0.25};
constexpr ExpertFieldNames kFields = {.normalized = "", .default_normalized = true};
constexpr const char* kShared = "shared_expert_intermediate_size";

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  read_own_fields(json, source, config);
  read_expert_fields(json, source, kFields, config);
  config.experts.shared_intermediate_size = json_field<int64_t>(json, kShared, source);
  config.experts.shared_gate = true;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Qwen3_5MoeForCausalLM", kNames);
  write_own_fields(config, json);
  write_expert_fields(config, kFields, json);
  json[kShared] = config.experts.shared_intermediate_size;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_own_keys(file, "qwen35moe");
  read_expert_keys(file, "qwen35moe", true, config);
  config.experts.shared_gate = true;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_own_keys(config, "qwen35moe");
  write_expert_keys(config, keys);
  return keys;
}

}  // namespace moe
}  // namespace

extern const Family kQwen35;
const Family kQwen35 = {{"qwen3_5_text"}, {"qwen35"}, read_config,     write_config, read_gguf,
                        write_gguf,       tensors,    decoder_forward, decoder_head};

extern const Family kQwen35Moe;
const Family kQwen35Moe = {
    {"qwen3_5_moe_text"}, {"qwen35moe"}, moe::read_config, moe::write_config, moe::read_gguf,
    moe::write_gguf,      tensors,       decoder_forward,  decoder_head};

}  // namespace millrace
