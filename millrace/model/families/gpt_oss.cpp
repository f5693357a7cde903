// gpt-oss (OpenAI 2025): sinks, windows in every other layer, experts with biases and a clamped
// gate.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr ExpertFieldNames kFields = {.count = "num_local_experts",
                                      .intermediate_size = "",
                                      .normalized = "",
                                      .default_normalized = true};

/// What llama.cpp has no keys for; it takes the numbers of the published models.
constexpr const char* kAlphaKey = "gpt-oss.swiglu_alpha";
constexpr const char* kLimitKey = "gpt-oss.swiglu_limit";

void set_its_options(ModelConfig& config) {
  config.attention_output_bias = config.attention_bias;
  config.mlp_bias = true;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(
      json, source,
      {.default_norm_eps = 1e-5f, .default_head_dim = 64, .default_rope_theta = 150000});
  require(config.activation == Activation::silu, "{}: hidden_act must be silu", source);
  config.attention_bias = optional_json_field<bool>(json, "attention_bias", source).value_or(true);
  read_window_fields(json, source, config);
  if (!json.contains("layer_types")) window_all_but_every(2, config);
  read_expert_fields(json, source, kFields, config);
  auto number = [&](const char* field, float otherwise) {
    return optional_json_field<float>(json, field, source).value_or(otherwise);
  };
  const ClampedGlu glu;
  config.clamped_glu = {number("swiglu_alpha", glu.alpha), number("swiglu_limit", glu.limit)};
  set_its_options(config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GptOssForCausalLM");
  json["attention_bias"] = config.attention_bias;
  write_window_fields(config, json);
  write_expert_fields(config, kFields, json);
  json["swiglu_alpha"] = config.clamped_glu->alpha;
  json["swiglu_limit"] = config.clamped_glu->limit;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gpt-oss");
  if (config.windowed.empty()) window_all_but_every(2, config);
  read_expert_keys(file, "gpt-oss", true, config);
  const ClampedGlu glu;
  config.clamped_glu = {file.metadata.get_optional<float>(kAlphaKey).value_or(glu.alpha),
                        file.metadata.get_optional<float>(kLimitKey).value_or(glu.limit)};
  config.rope.truncate = false;
  set_its_options(config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "gpt-oss");
  write_expert_keys(config, keys);
  keys.set(kAlphaKey, config.clamped_glu->alpha);
  keys.set(kLimitKey, config.clamped_glu->limit);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.sinks = "self_attn.sinks",
                                  .experts = {.router = "mlp.router",
                                              .router_bias = true,
                                              .stacked_gate_up = "mlp.experts.gate_up_proj",
                                              .stacked_down = "mlp.experts.down_proj"},
                                  .gguf_mlp_norm = "post_attention_norm"});
}

}  // namespace

extern const Family kGptOss;
const Family kGptOss = {{"gpt_oss"}, {"gpt-oss"}, read_config,     write_config, read_gguf,
                        write_gguf,  tensors,     decoder_forward, decoder_head};

}  // namespace millrace
