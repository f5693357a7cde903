// Step 3.5 and the text part of 3.7 (StepFun 2026): windowed layers have more heads and another
// rope, each head's output has a gate of its own, experts are chosen by biased sigmoids, and gates
// of the last layers have limits.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kNames = {.default_norm_eps = 1e-5f, .default_head_dim = 128};
constexpr ExpertFieldNames kFields = {
    .count = "n_routed_experts", .normalized = "", .default_normalized = true};
constexpr const char *kFull = "full_attention", *kWindowed = "sliding_attention";

/// Names of StepFun's own code, and what transformers' class calls the same.
constexpr std::pair<const char*, const char*> kRenamed[] = {
    {"num_attention_groups", "num_key_value_heads"},
    {"moe_num_experts", "n_routed_experts"},
    {"moe_top_k", "num_experts_per_tok"},
    {"share_expert_dims", "share_expert_dim"},
};

/// The layers with experts, "3,4,5" or an array, as "mlp_layer_types"; those from 3 on where there
/// is no such field.
Json mlp_types(const Json& json, int64_t num_layers, std::string_view source) {
  std::set<int64_t> sparse;
  const auto listed = json.find("moe_layers_enum");
  if (listed == json.end() || listed->is_null()) {
    for (int64_t i = 3; i < num_layers; ++i) sparse.insert(i);
  } else {
    const std::string text = listed->is_string() ? listed->get<std::string>() : listed->dump();
    int64_t layer = -1;
    for (const char c : text + ",") {
      const bool digit = c >= '0' && c <= '9';
      require(digit || std::string_view(", []").find(c) != std::string_view::npos,
              "{}: moe_layers_enum is {}; it must list layers", source, quote(text));
      if (digit) {
        layer = std::min<int64_t>(std::max<int64_t>(layer, 0) * 10 + (c - '0'), 1 << 20);
      } else {
        sparse.insert(layer);
        layer = -1;
      }
    }
  }
  Json types = Json::array();
  for (int64_t i = 0; i < num_layers; ++i) types.push_back(sparse.contains(i) ? "sparse" : "dense");
  return types;
}

/// One rope for each kind of layers, from those that each layer has in StepFun's own files.
Json rope_by_kind(const Json& json, const Json& kinds, std::string_view source) {
  auto of_layer = [&](const char* field, size_t layer, double otherwise) {
    const auto found = json.find(field);
    if (found == json.end() || found->is_null()) return otherwise;
    const bool listed = found->is_array() && layer < found->size();
    const Json value = listed ? found->at(layer) : *found;
    return json_field<double>(Json{{field, value}}, field, source);
  };
  Json ropes = Json::object();
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto kind =
        json_field<std::string>(Json{{"layer_types", kinds[i]}}, "layer_types", source);
    if (ropes.contains(kind)) continue;
    Json rope = {{"rope_type", "default"}};
    const Json scaling = json.value("rope_scaling", Json());
    if (kind == kFull && scaling.is_object()) rope.update(scaling);
    rope["rope_theta"] = of_layer("rope_theta", i, 10000);
    rope["partial_rotary_factor"] = of_layer("partial_rotary_factors", i, 1);
    ropes[kind] = rope;
  }
  return ropes;
}

/// The configuration under transformers' names. Lists of StepFun's own files go on for layers that
/// predict further ahead.
Json in_transformers_names(const Json& json, std::string_view source) {
  Json result = json;
  for (const auto& [own, name] : kRenamed) {
    if (!json.contains(name) && json.contains(own)) result[name] = json[own];
  }
  const auto layers = json_field<int64_t>(json, "num_hidden_layers", source);
  require(layers > 0 && layers <= 4096, "{}: num_hidden_layers is {}", source, layers);
  for (const char* field :
       {"layer_types", "mlp_layer_types", "swiglu_limits", "swiglu_limits_shared"}) {
    const auto list = result.find(field);
    if (list == result.end() || !list->is_array()) continue;
    while (list->size() > static_cast<size_t>(layers)) list->erase(list->size() - 1);
  }
  if (!result.contains("layer_types") || result["layer_types"].is_null()) {
    result["layer_types"] = std::vector<std::string>(static_cast<size_t>(layers), kFull);
  }
  if (!result.contains("mlp_layer_types") || result["mlp_layer_types"].is_null()) {
    result["mlp_layer_types"] = mlp_types(json, layers, source);
  }
  const Json other = json.value("attention_other_setting", Json());
  if (!result.contains("num_sliding_attention_heads") && other.is_object()) {
    result["num_sliding_attention_heads"] = other.value("num_attention_heads", Json());
  }
  const Json ropes = result.value("rope_parameters", Json::object());
  if (!ropes.is_object() || !ropes.contains(kFull)) {
    result["rope_parameters"] = rope_by_kind(json, result["layer_types"], source);
  }
  for (const char* field : {"rope_theta", "rope_scaling", "partial_rotary_factors"}) {
    result.erase(field);
  }
  return result;
}

Json with_rope_of(const Json& json, const char* kind) {
  Json result = json;
  const Json ropes = json.at("rope_parameters");
  result["rope_parameters"] = ropes.value(kind, ropes.value(kFull, Json::object()));
  return result;
}

std::vector<float> read_limits(const Json& json, const char* field, std::string_view source) {
  std::vector<float> limits;
  const auto list = json.find(field);
  if (list == json.end() || list->is_null()) return limits;
  require(list->is_array(), "{}: {} must be an array", source, field);
  for (const Json& limit : *list) {
    limits.push_back(optional_json_field<float>(Json{{field, limit}}, field, source).value_or(0));
  }
  return limits;
}

/// More heads in windowed layers. Those of each layer that transformers writes too say the same.
void read_heads(const Json& json, std::string_view source, ModelConfig& config) {
  const auto more = optional_json_field<int64_t>(json, "num_sliding_attention_heads", source);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    LayerSizes sizes = config.own_sizes();
    if (config.is_windowed(i)) sizes.num_heads = more.value_or(sizes.num_heads);
    config.layer_sizes.push_back(sizes);
  }
  const Json layers = json.value("per_layer_config", Json::object());
  require(layers.is_object(), "{}: per_layer_config must be an object", source);
  for (const auto& [layer, fields] : layers.items()) {
    int64_t i = -1;
    std::from_chars(layer.data(), layer.data() + layer.size(), i);
    require(
        i >= 0 && i < config.num_layers && fields.is_object() && fields.size() == 1 &&
            json_field<int64_t>(fields, "num_attention_heads", source) == config.sizes(i).num_heads,
        "{}: per_layer_config says of layer {} what num_sliding_attention_heads does not", source,
        quote(layer));
  }
}

ModelConfig read_config(const Json& published, std::string_view source) {
  const Json json = in_transformers_names(published, source);
  ModelConfig config = read_common_fields(with_rope_of(json, kFull), source, kNames);
  config.windowed_rope = read_common_fields(with_rope_of(json, kWindowed), source, kNames).rope;
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.mlp_bias = optional_json_field<bool>(json, "mlp_bias", source).value_or(false);
  read_window_fields(json, source, config);
  read_heads(json, source, config);
  const auto divisor = optional_json_field<double>(json, "query_pre_attn_scalar", source)
                           .value_or(static_cast<double>(config.head_dim));
  require(divisor > 0, "{}: query_pre_attn_scalar is {}; it must be positive", source, divisor);
  config.attention_scale = static_cast<float>(1 / std::sqrt(divisor));
  read_expert_fields(json, source, kFields, config);
  read_mlp_types(json, source, config);
  ExpertsConfig& experts = config.experts;
  experts.shared_intermediate_size =
      optional_json_field<int64_t>(json, "share_expert_dim", source).value_or(1280);
  experts.routing.score = RouterScore::sigmoid;
  experts.routing.scale =
      optional_json_field<float>(json, "moe_router_scaling_factor", source).value_or(1);
  config.clamped_glu = {1, 0, 0, true};
  const std::vector<float> none(static_cast<size_t>(config.num_layers), 0);
  config.expert_limits = read_limits(json, "swiglu_limits", source);
  config.mlp_limits = read_limits(json, "swiglu_limits_shared", source);
  for (std::vector<float>* limits : {&config.expert_limits, &config.mlp_limits}) {
    if (limits->empty()) *limits = none;
  }
  config.num_extra_layers =
      optional_json_field<int64_t>(json, "num_nextn_predict_layers", source).value_or(0);
  validate(config, source);
  return config;
}

Json write_config(const ModelConfig& config) {
  ModelConfig windowed = config;
  windowed.rope = *config.windowed_rope;
  Json json = write_common_fields(config, "Step3p5ForCausalLM", kNames);
  json["rope_parameters"] = {
      {kFull, json["rope_parameters"]},
      {kWindowed, write_common_fields(windowed, "", kNames)["rope_parameters"]}};
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  write_window_fields(config, json);
  json["query_pre_attn_scalar"] = 1 / std::pow(double{config.attention_scale}, 2);
  int64_t heads = config.num_heads;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (config.is_windowed(i)) heads = config.sizes(i).num_heads;
  }
  json["num_sliding_attention_heads"] = heads;
  write_expert_fields(config, kFields, json);
  write_mlp_types(config, json);
  json["share_expert_dim"] = config.experts.shared_intermediate_size;
  json["moe_router_scaling_factor"] = config.experts.routing.scale;
  json["swiglu_limits"] = config.expert_limits;
  json["swiglu_limits_shared"] = config.mlp_limits;
  json["num_nextn_predict_layers"] = 0;  // they are not written
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                  .k_norm = "self_attn.k_norm",
                                  .head_gate = "self_attn.g_proj",
                                  .experts = {.router = "moe.gate",
                                              .selection_bias = "moe.router_bias",
                                              .expert = "moe.",
                                              .shared = "share_expert."},
                                  .norm_offset = 1});
}

}  // namespace

extern const Family kStep3p5;
const Family kStep3p5 = {{"step3p5"}, {},      read_config,     write_config, nullptr,
                         nullptr,     tensors, decoder_forward, decoder_head};

}  // namespace millrace
