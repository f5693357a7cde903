// Gemma 3n (Google 2025), text: Gemma 3 over AltUp's streams with per-layer inputs, a learned
// residual (LAuReL), sparse gates, and layers that read the keys and values of earlier ones.
#include <algorithm>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.activation = "hidden_activation",
                            .default_activation = "gelu_pytorch_tanh",
                            .default_tied = true,
                            .default_head_dim = 256,
                            .default_rope_theta = 1000000};

/// What holds of every Gemma 3n.
void set_options(ModelConfig& config) {
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_scale = 1;
  config.unit_values = true;
}

/// The configuration with one number for "intermediate_size", which may be one of each layer; those
/// are put in `sizes`.
Json with_one_size(const Json& json, std::string_view source, std::vector<int64_t>& sizes) {
  Json one = json;
  const auto all = json.find("intermediate_size");
  if (all == json.end() || !all->is_array()) return one;
  for (const Json& size : *all) {
    sizes.push_back(
        json_field<int64_t>(Json{{"intermediate_size", size}}, "intermediate_size", source));
  }
  require(!sizes.empty(), "{}: intermediate_size is empty", source);
  one["intermediate_size"] = sizes.front();
  return one;
}

void set_intermediate_sizes(const std::vector<int64_t>& sizes, std::string_view source,
                            ModelConfig& config) {
  if (std::ranges::count(sizes, config.intermediate_size) == std::ssize(sizes) &&
      (sizes.empty() || std::ssize(sizes) == config.num_layers)) {
    return;
  }
  require(std::ssize(sizes) == config.num_layers, "{}: intermediate_size is of {} layers of {}",
          source, sizes.size(), config.num_layers);
  for (int64_t size : sizes) {
    config.layer_sizes.push_back(config.own_sizes());
    config.layer_sizes.back().intermediate_size = size;
  }
}

void read_sparsity(const Json& json, std::string_view source, ModelConfig& config) {
  const auto pattern = json.find("activation_sparsity_pattern");
  if (pattern == json.end() || pattern->is_null()) {
    constexpr int64_t kSparse = 10;  // of the layers, where there are more
    if (config.num_layers <= kSparse) return;
    config.sparsity.assign(static_cast<size_t>(config.num_layers), 0);
    std::fill_n(config.sparsity.begin(), kSparse, 0.95);
    return;
  }
  require(pattern->is_array() && std::ssize(*pattern) == config.num_layers,
          "{}: activation_sparsity_pattern must be an array of {} numbers", source,
          config.num_layers);
  for (const Json& part : *pattern) {
    require(part.is_number(), "{}: activation_sparsity_pattern must be numbers", source);
    config.sparsity.push_back(part.get<double>());
  }
}

ModelConfig read_config(const Json& json, std::string_view source) {
  auto integer = [&](const char* field, int64_t otherwise) {
    return optional_json_field<int64_t>(json, field, source).value_or(otherwise);
  };
  std::vector<int64_t> sizes;
  Json one = with_one_size(json, source, sizes);
  if (!one.contains("sliding_window")) one["sliding_window"] = 512;
  ModelConfig config = read_common_fields(with_rope_of(one, false, source), source, kFields);
  config.windowed_rope = read_common_fields(with_rope_of(one, true, source), source, kFields).rope;
  set_options(config);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.logit_softcap =
      optional_json_field<float>(json, "final_logit_softcapping", source).value_or(30);
  read_window_fields(one, source, config);
  if (config.windowed.empty()) window_all_but_every(5, config);
  config.num_kv_shared_layers = integer("num_kv_shared_layers", 15);
  config.per_layer = {integer("hidden_size_per_layer_input", 256),
                      integer("vocab_size_per_layer_input", 262144)};
  AltUpConfig& altup = config.altup;
  altup.streams = integer("altup_num_inputs", 4);
  altup.active = integer("altup_active_idx", 0);
  altup.scaled = optional_json_field<bool>(json, "altup_correct_scale", source).value_or(true);
  altup.clip = optional_json_field<float>(json, "altup_coef_clip", source).value_or(0);
  altup.laurel_rank = integer("laurel_rank", 64);
  require(altup.streams > 1, "{}: altup_num_inputs is {}; it must be above 1", source,
          altup.streams);
  read_sparsity(json, source, config);
  set_intermediate_sizes(sizes, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  const char* const kClass = "Gemma3nForCausalLM";
  Json json = write_common_fields(config, kClass, kFields);
  for (const char* field : {"rope_theta", "rope_scaling"}) json.erase(field);
  write_ropes(config, kClass, kFields, json);
  write_window_fields(config, json);
  json["intermediate_size"] = Json::array();
  json["activation_sparsity_pattern"] = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    json["intermediate_size"].push_back(config.sizes(i).intermediate_size);
    json["activation_sparsity_pattern"].push_back(
        config.sparsity.empty() ? 0 : config.sparsity[static_cast<size_t>(i)]);
  }
  json["attention_bias"] = config.attention_bias;
  json["final_logit_softcapping"] = config.logit_softcap;
  json["num_kv_shared_layers"] = config.num_kv_shared_layers;
  json["hidden_size_per_layer_input"] = config.per_layer.size;
  json["vocab_size_per_layer_input"] = config.per_layer.vocab_size;
  json["altup_num_inputs"] = config.altup.streams;
  json["altup_active_idx"] = config.altup.active;
  json["altup_correct_scale"] = config.altup.scaled;
  json["altup_coef_clip"] = config.altup.clip > 0 ? Json(config.altup.clip) : Json();
  json["laurel_rank"] = config.altup.laurel_rank;
  return json;
}

/// What GGUF says by one number for each layer: from how many standard deviations on gates count.
constexpr const char* kSparsityKey = "gemma3n.activation_sparsity_scale";

ModelConfig read_gguf(const GgufFile& file) {
  const GgufMetadata& keys = file.metadata;
  ModelConfig config = read_common_keys(file, "gemma3n", Activation::gelu_tanh);
  auto integer = [&](const char* key, int64_t otherwise) {
    return keys.get_optional<int64_t>(std::string("gemma3n.") + key).value_or(otherwise);
  };
  set_options(config);
  if (config.logit_softcap == 0) config.logit_softcap = 30;
  if (config.windowed.empty()) window_all_but_every(5, config);
  config.windowed_rope = config.rope;
  config.windowed_rope->theta =
      keys.get_optional<double>("gemma3n.rope.freq_base_swa").value_or(10000);
  config.windowed_rope->scaling = RopeScaling::none;
  config.num_kv_shared_layers = integer("attention.shared_kv_layers", 15);
  config.per_layer = {integer("embedding_length_per_layer_input", 256),
                      file.tensors.at("per_layer_token_embd.weight").shape()[0]};
  config.altup.streams = integer("altup.num_inputs", 4);
  config.altup.active = integer("altup.active_idx", 0);
  config.altup.scaled = true;
  config.altup.laurel_rank = file.tensors.at("blk.0.laurel_l.weight").shape()[0];
  if (const auto scales = keys.get_optional_array<double>(kSparsityKey)) {
    for (double scale : *scales) config.sparsity.push_back(normal_probability(scale));
  }
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  require(config.altup.scaled, "GGUF's gemma3n means altup_correct_scale");
  GgufMetadata keys = write_common_keys(config, "gemma3n", Activation::gelu_tanh);
  auto count = [&](const char* key, int64_t value) {
    keys.set(std::string("gemma3n.") + key, static_cast<uint32_t>(value));
  };
  keys.erase("gemma3n.attention.scale");  // it is 1 in all
  if (config.windowed_rope) {
    keys.set("gemma3n.rope.freq_base_swa", static_cast<float>(config.windowed_rope->theta));
  }
  count("attention.shared_kv_layers", config.num_kv_shared_layers);
  count("embedding_length_per_layer_input", config.per_layer.size);
  count("altup.num_inputs", config.altup.streams);
  count("altup.active_idx", config.altup.active);
  std::vector<float> scales;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    scales.push_back(config.gate_deviations(i).value_or(-INFINITY));
  }
  keys.set_array(kSparsityKey, scales);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                  .k_norm = "self_attn.k_norm",
                                  .attention_norm = "post_attention_layernorm",
                                  .mlp_norm = "pre_feedforward_layernorm",
                                  .output_norm = "post_feedforward_layernorm"});
}

}  // namespace

extern const Family kGemma3n;
const Family kGemma3n = {{"gemma3n_text"}, {"gemma3n"}, read_config,     write_config, read_gguf,
                         write_gguf,       tensors,     decoder_forward, decoder_head};

}  // namespace millrace
