// Kimi Linear (Moonshot 2025): three layers of four have delta attention whose states decay channel
// by channel, the others latent attention without positions; experts as DeepSeek's.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"
#include "millrace/model/latent_fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {
    .max_positions = "model_max_length", .default_norm_eps = 1e-5f, .rope = false};
constexpr ExpertFieldNames kFields = {.top_k = "num_experts_per_token",
                                      .normalized = "moe_renormalize",
                                      .default_normalized = true,
                                      .num_shared = "num_shared_experts"};
constexpr const char* kLinearFields = "linear_attn_config";

/// What another value would mean is not known: no published model has one.
void require_published_fields(const Json& json, std::string_view source) {
  for (const auto& [field, value] :
       {std::pair("mla_use_nope", Json(true)), std::pair("moe_layer_freq", Json(1)),
        std::pair("moe_router_activation_func", Json("sigmoid")),
        std::pair("rope_scaling", Json())}) {
    const auto found = json.find(field);
    require(found == json.end() || *found == value, "{}: {} is {}, which is not supported", source,
            field, quote(found == json.end() ? "" : found->dump()));
  }
}

/// The object of the delta attention's fields; an empty one where transformers has written them
/// among the others.
Json linear_fields(const Json& json, std::string_view source) {
  const auto found = json.find(kLinearFields);
  if (found == json.end() || found->is_null()) return Json::object();
  require(found->is_object(), "{}: field '{}' must be an object", source, kLinearFields);
  return *found;
}

void read_sizes(const Json& json, const Json& own, std::string_view source, ModelConfig& config) {
  auto size = [&](const char* name, const char* other_name, int64_t otherwise) {
    const auto value = optional_json_field<int64_t>(own, name, source);
    if (value) return *value;
    return optional_json_field<int64_t>(json, other_name, source).value_or(otherwise);
  };
  DeltaNetConfig& net = config.delta_net;
  net.channel_decay = true;
  net.key_heads = net.value_heads = size("num_heads", "linear_num_heads", 32);
  net.key_dim = net.value_dim = size("head_dim", "linear_head_dim", 128);
  net.kernel = size("short_conv_kernel_size", "linear_conv_kernel_dim", 4);
  require(net.key_heads > 0, "{}: linear attention has {} heads; there must be some", source,
          net.key_heads);
}

/// Layers that are counted from 1.
void set_layers(const Json& own, const char* name, bool linear, std::string_view source,
                ModelConfig& config) {
  const auto layers = own.find(name);
  require(layers != own.end() && layers->is_array(), "{}: {} must have an array '{}'", source,
          kLinearFields, name);
  for (const Json& layer : *layers) {
    const auto i = json_field<int64_t>(Json{{name, layer}}, name, source);
    require(i > 0 && i <= config.num_layers, "{}: {} has {}; there are {} layers", source, name, i,
            config.num_layers);
    config.linear_layers[static_cast<size_t>(i - 1)] = linear;
  }
}

void read_layers(const Json& json, const Json& own, std::string_view source, ModelConfig& config) {
  const auto types = json.find("layer_types");
  const auto count = static_cast<size_t>(config.num_layers);
  config.linear_layers.clear();
  if (types != json.end() && !types->is_null()) {
    require(types->is_array() && types->size() == count,
            "{}: layer_types must be an array of {} names", source, count);
    for (const Json& type : *types) {
      require(type == "linear_attention" || type == "full_attention",
              "{}: layer_types has {}, which is not supported", source, quote(type.dump()));
      config.linear_layers.push_back(type == "linear_attention");
    }
    return;
  }
  config.linear_layers.assign(count, true);
  set_layers(own, "full_attn_layers", false, source, config);
  std::vector<bool> said = config.linear_layers;
  config.linear_layers.assign(count, false);
  set_layers(own, "kda_layers", true, source, config);
  require(said == config.linear_layers,
          "{}: full_attn_layers and kda_layers must have each layer once", source);
}

ModelConfig read_config(const Json& json, std::string_view source) {
  require_published_fields(json, source);
  ModelConfig config = read_common_fields(json, source, kNames);
  const int64_t by_heads = config.hidden_size / config.num_heads;
  Json sizes = json;  // "head_dim" is either of two sizes, and nothing is made of it
  if (config.head_dim == by_heads) sizes.erase("head_dim");
  read_latent_fields(sizes, source, config);
  config.rope.rotary_dim = 0;
  const Json own = linear_fields(json, source);
  read_sizes(json, own, source, config);
  read_layers(json, own, source, config);
  read_expert_fields(json, source, kFields, config);
  read_mlp_types(json, source, config);
  auto integer = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  Routing& how = config.experts.routing;
  how.score = RouterScore::sigmoid;
  how.groups = integer("num_expert_group", 1);
  how.top_groups = integer("topk_group", 1);
  how.scale = optional_json_field<float>(json, "routed_scaling_factor", source).value_or(1);
  config.num_extra_layers = integer("num_nextn_predict_layers", 0);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "KimiLinearForCausalLM", kNames);
  write_latent_fields(config, json);
  write_expert_fields(config, kFields, json);
  const Routing& how = config.experts.routing;
  json["num_expert_group"] = how.groups;
  json["topk_group"] = how.top_groups;
  json["routed_scaling_factor"] = how.scale;
  json["first_k_dense_replace"] = first_without_experts(config);
  json["mla_use_nope"] = true;
  json["moe_router_activation_func"] = "sigmoid";
  const DeltaNetConfig& net = config.delta_net;
  Json own = {{"num_heads", net.key_heads},
              {"head_dim", net.key_dim},
              {"short_conv_kernel_size", net.kernel},
              {"full_attn_layers", Json::array()},
              {"kda_layers", Json::array()}};
  for (int64_t i = 0; i < config.num_layers; ++i) {
    own[config.is_linear(i) ? "kda_layers" : "full_attn_layers"].push_back(i + 1);
  }
  json[kLinearFields] = own;
  json["pad_token_id"] = Json();  // the class means one of a vocabulary of its own
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  const std::string experts = "block_sparse_moe.";
  return decoder_tensors(config,
                         {.experts = {.router = experts + "gate",
                                      .selection_bias = experts + "gate.e_score_correction_bias",
                                      .expert = experts + "experts.{}.",
                                      .parts = {"w1", "w3", "w2"},
                                      .shared = experts + "shared_experts."},
                          .delta_net = DeltaNetFiles::apart});
}

}  // namespace

extern const Family kKimiLinear;
const Family kKimiLinear = {{"kimi_linear"}, {},      read_config,     write_config, nullptr,
                            nullptr,         tensors, decoder_forward, decoder_head};

}  // namespace millrace
