#include "millrace/model/expert_fields.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// GGUF's numbers of what makes scores of logits.
constexpr int64_t kSoftmaxGate = 1, kSigmoidGate = 2, kSoftmaxOfChosenGate = 3;

/// Sizes from files that are multiplied before they are checked.
int64_t checked_product(int64_t a, int64_t b, std::string_view what, std::string_view source) {
  constexpr int64_t kMost = int64_t{1} << 24;
  require(a >= 0 && a <= kMost && b >= 0 && b <= kMost, "{}: {} are {} of size {}", source, what, a,
          b);
  return a * b;
}

}  // namespace

void read_expert_fields(const Json& json, std::string_view source, const ExpertFieldNames& names,
                        ModelConfig& config) {
  ExpertsConfig& experts = config.experts;
  Routing& how = experts.routing;
  auto present = [](const char* name) { return *name != '\0'; };
  // transformers 5 writes "num_local_experts" for some that were published with another name.
  const bool renamed = !json.contains(names.count) && json.contains("num_local_experts");
  how.num_experts = json_field<int64_t>(json, renamed ? "num_local_experts" : names.count, source);
  how.top_k = json_field<int64_t>(json, names.top_k, source);
  experts.intermediate_size = present(names.intermediate_size)
                                  ? json_field<int64_t>(json, names.intermediate_size, source)
                                  : config.intermediate_size;
  how.normalized = names.default_normalized;
  if (present(names.normalized)) {
    how.normalized = optional_json_field<bool>(json, names.normalized, source)
                         .value_or(names.default_normalized);
  }
  if (present(names.num_shared)) {
    const auto shared = optional_json_field<int64_t>(json, names.num_shared, source).value_or(0);
    experts.shared_intermediate_size =
        checked_product(shared, experts.intermediate_size, names.num_shared, source);
  }
  experts.balance_loss =
      optional_json_field<float>(json, "router_aux_loss_coef", source).value_or(0);
}

void write_expert_fields(const ModelConfig& config, const ExpertFieldNames& names, Json& json) {
  const ExpertsConfig& experts = config.experts;
  json[names.count] = experts.routing.num_experts;
  json[names.top_k] = experts.routing.top_k;
  json[names.intermediate_size] = experts.intermediate_size;
  json[names.normalized] = experts.routing.normalized;
  json[names.num_shared] = experts.shared_intermediate_size / experts.intermediate_size;
  json["router_aux_loss_coef"] = experts.balance_loss;
  json.erase("");
}

void read_sparse_step(const Json& json, std::string_view source, ModelConfig& config) {
  const auto step = optional_json_field<int64_t>(json, "decoder_sparse_step", source).value_or(1);
  require(step > 0, "{}: decoder_sparse_step is {}; it must be positive", source, step);
  std::vector<bool>& layers = config.experts.layers;
  for (int64_t i = 0; i < config.num_layers; ++i) layers.push_back((i + 1) % step == 0);
  auto dense = json.find("mlp_only_layers");
  if (dense == json.end() || dense->is_null()) return;
  require(dense->is_array(), "{}: mlp_only_layers must be an array", source);
  for (const Json& layer : *dense) {
    const auto i = json_field<int64_t>(Json{{"mlp_only_layers", layer}}, "mlp_only_layers", source);
    require(i >= 0 && i < config.num_layers, "{}: mlp_only_layers has {}; there are {} layers",
            source, i, config.num_layers);
    layers[static_cast<size_t>(i)] = false;
  }
}

void write_sparse_step(const ModelConfig& config, Json& json) {
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (!config.has_experts(i)) json["mlp_only_layers"].push_back(i);
  }
}

void read_mlp_types(const Json& json, std::string_view source, ModelConfig& config) {
  const auto types = json.find("mlp_layer_types");
  if (types == json.end() || types->is_null()) {
    without_first_experts(
        optional_json_field<int64_t>(json, "first_k_dense_replace", source).value_or(1), config);
    return;
  }
  require(types->is_array() && types->size() == static_cast<size_t>(config.num_layers),
          "{}: mlp_layer_types must be an array of {} names", source, config.num_layers);
  config.experts.layers.clear();
  for (const Json& type : *types) {
    require(type == "sparse" || type == "dense",
            "{}: mlp_layer_types has {}, which is not supported", source, quote(type.dump()));
    config.experts.layers.push_back(type == "sparse");
  }
}

void write_mlp_types(const ModelConfig& config, Json& json) {
  json["mlp_layer_types"] = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    json["mlp_layer_types"].push_back(config.has_experts(i) ? "sparse" : "dense");
  }
}

void read_group_fields(const Json& json, std::string_view source, ModelConfig& config) {
  auto integer = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  Routing& how = config.experts.routing;
  how.groups = integer("n_group", 1);
  how.top_groups = integer("topk_group", 1);
  how.scale = optional_json_field<float>(json, "routed_scaling_factor", source).value_or(1);
  without_first_experts(integer("first_k_dense_replace", 0), config);
  config.num_extra_layers = integer("num_nextn_predict_layers", 0);
}

void write_group_fields(const ModelConfig& config, Json& json) {
  const Routing& how = config.experts.routing;
  json["n_group"] = how.groups;
  json["topk_group"] = how.top_groups;
  json["routed_scaling_factor"] = how.scale;
  json["first_k_dense_replace"] = first_without_experts(config);
  json["num_nextn_predict_layers"] = 0;  // they are not written
}

void without_first_experts(int64_t count, ModelConfig& config) {
  config.experts.layers.clear();
  for (int64_t i = 0; i < config.num_layers; ++i) config.experts.layers.push_back(i >= count);
}

int64_t first_without_experts(const ModelConfig& config) {
  const std::vector<bool>& layers = config.experts.layers;
  const auto first = std::find(layers.begin(), layers.end(), true);
  require(std::find(first, layers.end(), false) == layers.end(),
          "a {} model's layers without experts must come first", config.model_type);
  return first - layers.begin();
}

void leave_extra_layers(const GgufFile& file, const std::string& architecture,
                        ModelConfig& config) {
  const auto extra =
      file.metadata.get_optional<int64_t>(architecture + ".nextn_predict_layers").value_or(0);
  require(extra >= 0 && extra < config.num_layers, "{}: nextn_predict_layers is {} of {} layers",
          file.metadata.source(), extra, config.num_layers);
  config.num_layers -= extra;
}

bool read_expert_keys(const GgufFile& file, const std::string& architecture, bool normalized,
                      ModelConfig& config) {
  const GgufMetadata& keys = file.metadata;
  auto integer = [&](const char* name, int64_t otherwise) {
    return keys.get_optional<int64_t>(architecture + "." + name).value_or(otherwise);
  };
  ExpertsConfig& experts = config.experts;
  Routing& how = experts.routing;
  how.num_experts = integer("expert_count", 0);
  if (how.num_experts == 0) return false;
  how.top_k = integer("expert_used_count", 0);
  experts.intermediate_size = integer("expert_feed_forward_length", config.intermediate_size);
  const int64_t shared = integer("expert_shared_count", 0);
  experts.shared_intermediate_size =
      integer("expert_shared_feed_forward_length",
              checked_product(shared, experts.intermediate_size, "shared experts", keys.source()));
  how.normalized =
      keys.get_optional<bool>(architecture + ".expert_weights_norm").value_or(normalized);
  how.scale = keys.get_optional<float>(architecture + ".expert_weights_scale").value_or(1);
  if (how.scale == 0) how.scale = 1;  // llama.cpp's word for none
  how.groups = integer("expert_group_count", 1);
  how.top_groups = integer("expert_group_used_count", 1);
  const int64_t gate = integer("expert_gating_func", kSoftmaxGate);
  require(gate >= kSoftmaxGate && gate <= kSoftmaxOfChosenGate, "{}: expert_gating_func is {}",
          keys.source(), gate);
  how.score = gate == kSigmoidGate ? RouterScore::sigmoid : RouterScore::softmax;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const Tensor* router = file.tensors.find(fmt::format("blk.{}.ffn_gate_inp.weight", i));
    experts.layers.push_back(router != nullptr);
  }
  return true;
}

void write_expert_keys(const ModelConfig& config, GgufMetadata& keys) {
  const ExpertsConfig& experts = config.experts;
  const Routing& how = experts.routing;
  const auto architecture = keys.get<std::string>("general.architecture");
  auto set = [&](const char* name, GgufValue value) {
    keys.set(architecture + "." + name, std::move(value));
  };
  auto count = [&](const char* name, int64_t value) { set(name, static_cast<uint32_t>(value)); };
  count("expert_count", how.num_experts);
  count("expert_used_count", how.top_k);
  count("expert_feed_forward_length", experts.intermediate_size);
  if (experts.shared_intermediate_size > 0) {
    count("expert_shared_feed_forward_length", experts.shared_intermediate_size);
    count("expert_shared_count", experts.shared_intermediate_size / experts.intermediate_size);
  }
  set("expert_weights_norm", how.normalized);
  set("expert_weights_scale", how.scale);
  if (how.groups > 1) {
    count("expert_group_count", how.groups);
    count("expert_group_used_count", how.top_groups);
  }
  count("expert_gating_func", how.score == RouterScore::sigmoid ? kSigmoidGate : kSoftmaxGate);
}

}  // namespace millrace
