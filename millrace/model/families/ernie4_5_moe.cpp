// ERNIE 4.5 (Baidu 2025) with experts, chosen by biased probabilities.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr ExpertFieldNames kFields = {.count = "moe_num_experts",
                                      .top_k = "moe_k",
                                      .normalized = "",
                                      .default_normalized = true,
                                      .num_shared = "moe_num_shared_experts"};
constexpr float kDefaultLeastSum = 1e-12f;
/// What no key of llama.cpp's says.
constexpr const char* kLeastSumKey = "ernie4_5-moe.expert_weights_norm_min";

ModelConfig with_its_rope(ModelConfig config) {
  config.rope_pairing = RopePairing::interleaved;
  return config;
}

/// Which layers have experts: every `interval`-th of those from `start` to `end`.
void read_expert_layers(const Json& json, std::string_view source, ModelConfig& config) {
  auto integer = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  const int64_t start = integer("moe_layer_start_index", 1);
  int64_t end = integer("moe_layer_end_index", -1);
  if (end == -1) end = config.num_layers - 1;
  const int64_t interval = integer("moe_layer_interval", 1);
  require(
      interval > 0 && end < config.num_layers,
      "{}: moe_layer_interval is {} and must be positive; moe_layer_end_index is {} of {} layers",
      source, interval, end, config.num_layers);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    config.experts.layers.push_back((i + 1) % interval == 0 && i >= start && i <= end);
  }
}

/// The configuration of a text model: where the fields of experts are lists, texts' come first and
/// images' behind.
Json of_texts(const Json& json) {
  Json result = json;
  for (const char* field : {"moe_num_experts", "moe_intermediate_size", "moe_layer_start_index",
                            "moe_layer_end_index"}) {
    const auto found = json.find(field);
    if (found != json.end() && found->is_array() && !found->empty()) {
      result[field] = found->front();
    }
  }
  return result;
}

ModelConfig read_config(const Json& published, std::string_view source) {
  const Json json = of_texts(published);
  ModelConfig config = read_common_fields(
      json, source,
      {.default_tied = true, .default_norm_eps = 1e-5f, .default_rope_theta = 500000});
  config.attention_bias = config.attention_output_bias = config.mlp_bias =
      optional_json_field<bool>(json, "use_bias", source).value_or(false);
  read_expert_fields(json, source, kFields, config);
  if (json.contains("mlp_layer_types")) {
    read_mlp_types(json, source, config);
  } else {
    read_expert_layers(json, source, config);
  }
  config.experts.routing.least_sum =
      optional_json_field<float>(json, "moe_norm_min", source).value_or(kDefaultLeastSum);
  return with_its_rope(config);
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Ernie4_5_MoeForCausalLM");
  json["use_bias"] = config.mlp_bias;
  write_expert_fields(config, kFields, json);
  json["moe_layer_start_index"] = first_without_experts(config);
  json["moe_layer_end_index"] = config.num_layers - 1;
  json["moe_layer_interval"] = 1;
  json["moe_norm_min"] = config.experts.routing.least_sum;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = with_its_rope(read_common_keys(file, "ernie4_5-moe"));
  read_expert_keys(file, "ernie4_5-moe", true, config);
  config.experts.routing.least_sum =
      file.metadata.get_optional<float>(kLeastSumKey).value_or(kDefaultLeastSum);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "ernie4_5-moe");
  write_expert_keys(config, keys);
  keys.set("ernie4_5-moe.interleave_moe_layer_step", uint32_t{1});
  keys.set("ernie4_5-moe.leading_dense_block_count",
           static_cast<uint32_t>(first_without_experts(config)));
  keys.set(kLeastSumKey, config.experts.routing.least_sum);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(
      config, {.experts = {.selection_bias = "mlp.moe_statics.e_score_correction_bias",
                           .stacked_selection_bias = true}});
  specs.unneeded = {".mlp.gate.weight_1"};  // the router of images
  return specs;
}

}  // namespace

extern const Family kErnie45Moe;
const Family kErnie45Moe = {{"ernie4_5_moe"}, {"ernie4_5-moe"}, read_config,
                            write_config,     read_gguf,        write_gguf,
                            tensors,          decoder_forward,  decoder_head};

}  // namespace millrace
