// Gemma 4 (Google 2026), text: Gemma 3 with larger heads in layers without a window, normed values,
// per-layer inputs, layers that read the keys and values of earlier ones, and experts beside the
// MLP.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.activation = "hidden_activation",
                            .default_activation = "gelu_pytorch_tanh",
                            .default_tied = true,
                            .default_head_dim = 256};

/// What holds of every Gemma 4.
void set_options(ModelConfig& config) {
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_scale = 1;
  config.unit_values = true;
}

void set_experts(int64_t count, int64_t top_k, int64_t intermediate_size, ModelConfig& config) {
  config.experts.routing.num_experts = count;
  config.experts.routing.top_k = top_k;
  config.experts.routing.normalized = true;
  config.experts.intermediate_size = intermediate_size;
  config.experts.beside_mlp = true;
}

/// Sizes of heads in layers without a window.
struct GlobalHeads {
  int64_t head_dim, num_kv_heads;

  bool operator==(const GlobalHeads&) const = default;
};

GlobalHeads read_heads(const Json& json, std::string_view source, const GlobalHeads& otherwise,
                       const char* head_dim, const char* num_kv_heads) {
  auto integer = [&](const char* field, int64_t value) {
    return optional_json_field<int64_t>(json, field, source).value_or(value);
  };
  return {integer(head_dim, otherwise.head_dim), integer(num_kv_heads, otherwise.num_kv_heads)};
}

/// The layer that a key of "per_layer_config" names: "7" or "07".
size_t layer_of_key(const std::string& key, std::string_view source, const ModelConfig& config) {
  int64_t layer = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), layer);
  require(error == std::errc() && end == key.data() + key.size() && layer >= 0 &&
              layer < config.num_layers,
          "{}: per_layer_config has the layer {}; there are {}", source, quote(key),
          config.num_layers);
  return static_cast<size_t>(layer);
}

/// "per_layer_config", which transformers 5 writes: what layers have in the place of the model's
/// sizes. It must be the same in all layers without a window.
GlobalHeads read_layer_heads(const Json& all, std::string_view source, const ModelConfig& config) {
  const GlobalHeads own = {config.head_dim, config.num_kv_heads};
  require(all.is_object(), "{}: per_layer_config must be an object", source);
  std::vector<GlobalHeads> heads(static_cast<size_t>(config.num_layers), own);
  for (const auto& [key, layer] : all.items()) {
    require(layer.is_object(), "{}: per_layer_config of {} must be an object", source, quote(key));
    for (const auto& field : layer.items()) {
      require(field.key() == "head_dim" || field.key() == "num_key_value_heads",
              "{}: per_layer_config has {}, which is not supported", source, quote(field.key()));
    }
    heads[layer_of_key(key, source, config)] =
        read_heads(layer, source, own, "head_dim", "num_key_value_heads");
  }
  const GlobalHeads global = heads.back();  // the last has no window
  for (int64_t i = 0; i < config.num_layers; ++i) {
    require(heads[static_cast<size_t>(i)] == (config.is_windowed(i) ? own : global),
            "{}: per_layer_config says of layer {} what it does not of others like it", source, i);
  }
  return global;
}

GlobalHeads read_global_heads(const Json& json, std::string_view source,
                              const ModelConfig& config) {
  const auto of_layers = json.find("per_layer_config");
  if (of_layers != json.end()) return read_layer_heads(*of_layers, source, config);
  GlobalHeads heads = read_heads(json, source, {512, config.num_kv_heads}, "global_head_dim",
                                 "num_global_key_value_heads");
  if (!config.values_are_keys) heads.num_kv_heads = config.num_kv_heads;
  return heads;
}

void set_layer_sizes(const GlobalHeads& global, bool double_wide, ModelConfig& config) {
  std::vector<LayerSizes> sizes;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    LayerSizes own = config.own_sizes();
    if (!config.is_windowed(i)) {
      own.head_dim = global.head_dim;
      own.num_kv_heads = global.num_kv_heads;
    }
    if (double_wide && config.shares_kv(i)) {
      require(own.intermediate_size <= INT32_MAX, "intermediate_size is {}", own.intermediate_size);
      own.intermediate_size *= 2;
    }
    sizes.push_back(own);
  }
  if (std::ranges::any_of(sizes,
                          [&](const LayerSizes& own) { return own != config.own_sizes(); })) {
    config.layer_sizes = sizes;
  }
}

/// With the defaults of fields that the shared readers ask for.
Json with_defaults(const Json& json) {
  Json full = json;
  const Json ropes = {
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}},
      {"full_attention",
       {{"rope_type", "proportional"}, {"rope_theta", 1e6}, {"partial_rotary_factor", 0.25}}}};
  for (const auto& [field, value] :
       {std::pair("rope_parameters", ropes), std::pair("sliding_window", Json(512))}) {
    if (!full.contains(field) || full[field].is_null()) full[field] = value;
  }
  return full;
}

void read_experts(const Json& json, std::string_view source, ModelConfig& config) {
  if (!optional_json_field<bool>(json, "enable_moe_block", source).value_or(false)) return;
  set_experts(json_field<int64_t>(json, "num_experts", source),
              json_field<int64_t>(json, "top_k_experts", source),
              json_field<int64_t>(json, "moe_intermediate_size", source), config);
}

ModelConfig read_config(const Json& json, std::string_view source) {
  const Json full = with_defaults(json);
  auto integer = [&](const char* field, int64_t otherwise) {
    return optional_json_field<int64_t>(json, field, source).value_or(otherwise);
  };
  auto flag = [&](const char* field) {
    return optional_json_field<bool>(json, field, source).value_or(false);
  };
  ModelConfig config = read_common_fields(with_rope_of(full, true, source), source, kFields);
  config.windowed_rope = config.rope;
  set_options(config);
  const auto both_ways =
      optional_json_field<std::string>(json, "use_bidirectional_attention", source);
  require(!both_ways || *both_ways == "vision",  // which text is without
          "{}: use_bidirectional_attention is {}, which is not supported", source,
          quote(both_ways.value_or("")));
  config.attention_bias = config.attention_output_bias = flag("attention_bias");
  config.logit_softcap =
      optional_json_field<float>(json, "final_logit_softcapping", source).value_or(0);
  read_window_fields(full, source, config);
  if (config.windowed.empty()) {
    window_all_but_every(6, config);
    config.windowed.back() = false;
  }
  require(!config.windowed.back(), "{}: the last of layer_types must be full_attention", source);
  config.num_kv_shared_layers = integer("num_kv_shared_layers", 0);
  config.values_are_keys = flag("attention_k_eq_v");
  config.per_layer.size = integer("hidden_size_per_layer_input", 256);
  if (config.per_layer.size > 0) {
    config.per_layer.vocab_size = integer("vocab_size_per_layer_input", 262144);
  }
  read_experts(json, source, config);
  validate(config, source);
  const GlobalHeads global = read_global_heads(json, source, config);
  set_layer_sizes(global, flag("use_double_wide_mlp"), config);
  Json of_full = with_rope_of(full, false, source);
  of_full["head_dim"] = global.head_dim;
  config.rope = read_common_fields(of_full, source, kFields).rope;
  return config;
}

/// Whether the layers that read other layers' keys have MLPs of twice the size.
bool is_double_wide(const ModelConfig& config) {
  const int64_t last = config.num_layers - 1;
  return config.shares_kv(last) && config.sizes(last).intermediate_size > config.intermediate_size;
}

Json write_config(const ModelConfig& config) {
  const char* const kClass = "Gemma4ForCausalLM";
  Json json = write_common_fields(config, kClass, kFields);
  for (const char* field : {"rope_theta", "rope_scaling"}) json.erase(field);
  write_ropes(config, kClass, kFields, json);
  write_window_fields(config, json);
  const LayerSizes global = config.sizes(config.num_layers - 1);
  json["global_head_dim"] = global.head_dim;
  json["num_global_key_value_heads"] = config.values_are_keys ? Json(global.num_kv_heads) : Json();
  json["attention_bias"] = config.attention_bias;
  json["attention_k_eq_v"] = config.values_are_keys;
  json["final_logit_softcapping"] = config.logit_softcap > 0 ? Json(config.logit_softcap) : Json();
  json["num_kv_shared_layers"] = config.num_kv_shared_layers;
  json["use_double_wide_mlp"] = is_double_wide(config);
  json["hidden_size_per_layer_input"] = config.per_layer.size;
  json["vocab_size_per_layer_input"] =
      config.per_layer.size > 0 ? config.per_layer.vocab_size : config.vocab_size;
  const ExpertsConfig& experts = config.experts;
  json["enable_moe_block"] = experts.routing.num_experts > 0;
  if (experts.routing.num_experts > 0) {
    json["num_experts"] = experts.routing.num_experts;
    json["top_k_experts"] = experts.routing.top_k;
    json["moe_intermediate_size"] = experts.intermediate_size;
  }
  return json;
}

/// Which part of the frequencies turns, as GGUF says it: the others are divided by a number without
/// end.
void read_proportion(const GgufFile& file, RopeParameters& rope) {
  const Tensor* divisors = file.tensors.find("rope_freqs.weight");
  if (divisors == nullptr || divisors->dtype() != DType::f32) return;
  const std::span<const float> values = divisors->f32();
  const auto turned = std::ranges::count(values, 1.0f);
  constexpr float kEndless = 1e29f;
  const auto still = std::ranges::count_if(values, [](float x) { return x > kEndless; });
  if (turned + still != std::ssize(values) || std::ssize(values) != rope.rotary_dim / 2) return;
  rope.scaling = RopeScaling::proportional;
  rope.proportion = static_cast<double>(turned) / static_cast<double>(values.size());
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gemma4", Activation::gelu_tanh);
  auto integer = [&](const char* key) {
    return file.metadata.get_optional<int64_t>(std::string("gemma4.") + key).value_or(0);
  };
  set_options(config);
  require(config.windowed.size() == static_cast<size_t>(config.num_layers),
          "{}: gemma4.attention.sliding_window_pattern must say of each layer whether it has a "
          "window",
          file.metadata.source());
  const int64_t windowed_dim = config.head_dim;
  config.windowed_rope = config.rope;
  config.windowed_rope->theta =
      file.metadata.get_optional<double>("gemma4.rope.freq_base_swa").value_or(10000);
  config.windowed_rope->rotary_dim =
      file.metadata.get_optional<int64_t>("gemma4.rope.dimension_count_swa").value_or(windowed_dim);
  config.windowed_rope->scaling = RopeScaling::none;
  read_proportion(file, config.rope);
  config.num_kv_shared_layers = integer("attention.shared_kv_layers");
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const bool has_values = file.tensors.find(fmt::format("blk.{}.attn_v.weight", i)) != nullptr;
    if (!config.is_windowed(i) && !config.shares_kv(i) && !has_values)
      config.values_are_keys = true;
  }
  config.per_layer.size = integer("embedding_length_per_layer_input");
  if (config.per_layer.size > 0) {
    config.per_layer.vocab_size = file.tensors.at("per_layer_token_embd.weight").shape()[0];
  }
  if (integer("expert_count") > 0) {
    set_experts(integer("expert_count"), integer("expert_used_count"),
                integer("expert_feed_forward_length"), config);
  }
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "gemma4", Activation::gelu_tanh);
  auto count = [&](const char* key, int64_t value) {
    keys.set(std::string("gemma4.") + key, static_cast<uint32_t>(value));
  };
  keys.erase("gemma4.attention.scale");  // it is 1 in all
  if (config.windowed_rope) {
    keys.set("gemma4.rope.freq_base_swa", static_cast<float>(config.windowed_rope->theta));
  }
  count("attention.shared_kv_layers", config.num_kv_shared_layers);
  count("embedding_length_per_layer_input", config.per_layer.size);
  if (config.experts.routing.num_experts > 0) {
    count("expert_count", config.experts.routing.num_experts);
    count("expert_used_count", config.experts.routing.top_k);
    count("expert_feed_forward_length", config.experts.intermediate_size);
  }
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  const bool sparse = config.experts.routing.num_experts > 0;
  auto where_sparse = [&](const char* name) { return std::string(sparse ? name : ""); };
  return decoder_tensors(config,
                         {.q_norm = "self_attn.q_norm",
                          .k_norm = "self_attn.k_norm",
                          .attention_norm = "post_attention_layernorm",
                          .mlp_norm = "pre_feedforward_layernorm",
                          .output_norm = "post_feedforward_layernorm",
                          .mlp_own_norm = where_sparse("post_feedforward_layernorm_1"),
                          .experts_norm = where_sparse("pre_feedforward_layernorm_2"),
                          .experts_output_norm = where_sparse("post_feedforward_layernorm_2"),
                          .layer_scale = "layer_scalar",
                          .experts = {.router = "router.proj",
                                      .router_norm = "router.scale",
                                      .expert_scale = "router.per_expert_scale",
                                      .expert = "experts.{}.",
                                      .stacked_gate_up = "experts.gate_up_proj",
                                      .stacked_down = "experts.down_proj",
                                      .stacks_as_used = true}});
}

}  // namespace

extern const Family kGemma4;
const Family kGemma4 = {{"gemma4_text"}, {"gemma4"}, read_config,     write_config, read_gguf,
                        write_gguf,      tensors,    decoder_forward, decoder_head};

}  // namespace millrace
