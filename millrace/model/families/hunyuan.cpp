// Hunyuan (Tencent 2025): Llama with norms of each query and key behind rope. Hunyuan-A13B: the
// same with experts.
#include <algorithm>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

/// What its configurations call dynamic rope scaling is a fixed one, where they give an alpha.
void apply_alpha(const Json& json, std::string_view source, ModelConfig& config) {
  RopeParameters& rope = config.rope;
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    auto object = json.find(field);
    if (object == json.end() || !object->is_object()) continue;
    const auto alpha = optional_json_field<double>(*object, "alpha", source);
    if (!alpha || *alpha == 0 || rope.scaling != RopeScaling::dynamic) return;
    require(*alpha > 0 && rope.rotary_dim > 2, "{}: rope's alpha is {}", source, *alpha);
    const auto dim = static_cast<double>(rope.rotary_dim);
    rope.theta *= std::pow(*alpha, dim / (dim - 2));
    rope.scaling = RopeScaling::none;
    config.max_position_embeddings = rope.max_position_embeddings;
    return;
  }
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_norm_eps = 1e-5f});
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.head_norms_after_rope = true;
  apply_alpha(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture);
  json["attention_bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file, const char* architecture) {
  ModelConfig config = read_common_keys(file, architecture);
  config.head_norms_after_rope = true;
  return config;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config,
                         {.q_norm = "self_attn.query_layernorm",
                          .k_norm = "self_attn.key_layernorm",
                          .experts = {.router = "mlp.gate.wg", .shared = "mlp.shared_mlp."}});
}

constexpr ExpertFieldNames kFields = {
    .top_k = "moe_topk", .intermediate_size = "", .normalized = "", .default_normalized = true};

/// Published files say of each layer what is the same in all.
Json with_one_value_a_field(Json json, std::string_view source) {
  for (const char* field :
       {"num_experts", "moe_topk", "moe_intermediate_size", "num_shared_expert"}) {
    auto found = json.find(field);
    if (found == json.end() || !found->is_array() || found->empty()) continue;
    require(std::ranges::all_of(*found, [&](const Json& x) { return x == found->front(); }),
            "{}: {} differs between layers, which is not supported", source, field);
    *found = Json(found->front());
  }
  return json;
}

ModelConfig read_moe_config(const Json& layered, std::string_view source) {
  const Json json = with_one_value_a_field(layered, source);
  ModelConfig config = read_config(json, source);
  read_expert_fields(json, source, kFields, config);
  const int64_t inner = optional_json_field<int64_t>(json, "moe_intermediate_size", source)
                            .value_or(config.intermediate_size);
  require(
      inner == config.intermediate_size &&
          optional_json_field<int64_t>(json, "num_shared_expert", source).value_or(1) == 1,
      "{}: experts have a moe_intermediate_size of {} and are shared by num_shared_expert; only "
      "intermediate_size ({}) and 1 are supported",
      source, inner, config.intermediate_size);
  config.experts.shared_intermediate_size = config.intermediate_size;
  return config;
}

Json write_moe_config(const ModelConfig& config) {
  Json json = write_config(config, "HunYuanMoEV1ForCausalLM");
  write_expert_fields(config, kFields, json);
  return json;
}

ModelConfig read_moe_gguf(const GgufFile& file) {
  ModelConfig config = read_gguf(file, "hunyuan-moe");
  read_expert_keys(file, "hunyuan-moe", true, config);
  return config;
}

GgufMetadata write_moe_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "hunyuan-moe");
  write_expert_keys(config, keys);
  return keys;
}

}  // namespace

extern const Family kHunYuanDense, kHunYuanMoe;

const Family kHunYuanDense = {
    {"hunyuan_v1_dense"},
    {"hunyuan-dense"},
    read_config,
    [](const ModelConfig& config) { return write_config(config, "HunYuanDenseV1ForCausalLM"); },
    [](const GgufFile& file) { return read_gguf(file, "hunyuan-dense"); },
    [](const ModelConfig& config) { return write_common_keys(config, "hunyuan-dense"); },
    tensors,
    decoder_forward,
    decoder_head};

const Family kHunYuanMoe = {{"hunyuan_v1_moe"}, {"hunyuan-moe"}, read_moe_config, write_moe_config,
                            read_moe_gguf,      write_moe_gguf,  tensors,         decoder_forward,
                            decoder_head};

}  // namespace millrace
