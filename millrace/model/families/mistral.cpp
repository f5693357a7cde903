// Mistral (Jiang et al. 2023): Llama with a sliding window; in GGUF it is a llama. Ministral 3
// (Mistral AI 2025) has queries that grow with their position instead.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  read_window_fields(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MistralForCausalLM");
  json["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
  return json;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "llama");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

constexpr const char* kGrowth = "llama_4_scaling_beta";
constexpr const char* kMinistral = "mistral3";

ModelConfig read_ministral_config(const Json& json, std::string_view source) {
  ModelConfig config =
      read_common_fields(json, source, {.default_norm_eps = 1e-5f, .default_head_dim = 128});
  read_window_fields(json, source, config);
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const Json rope = json.value(field, Json());
    if (!rope.is_object()) continue;
    config.query_growth.beta =
        optional_json_field<float>(rope, kGrowth, source).value_or(config.query_growth.beta);
  }
  config.query_growth.length = config.rope.original_max_position_embeddings;
  return config;
}

Json write_ministral_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Ministral3ForCausalLM");
  json["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
  for (const char* rope : {"rope_parameters", "rope_scaling"}) {
    if (json.contains(rope)) json[rope][kGrowth] = config.query_growth.beta;
  }
  return json;
}

ModelConfig read_ministral_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kMinistral);
  config.model_type = "ministral3";
  config.query_growth = {
      file.metadata.get_optional<float>("mistral3.attention.temperature_scale").value_or(0),
      config.rope.original_max_position_embeddings};
  const auto multiplier =
      file.metadata.get_optional<float>("mistral3.rope.scaling.yarn_log_multiplier");
  if (multiplier) config.rope.mscale = config.rope.mscale_all_dim = double{*multiplier};
  return config;
}

GgufMetadata write_ministral_gguf(const ModelConfig& config) {
  require(config.rope.mscale == config.rope.mscale_all_dim,
          "GGUF has one number for mscale ({}) and mscale_all_dim ({})", config.rope.mscale,
          config.rope.mscale_all_dim);
  GgufMetadata keys = write_common_keys(config, kMinistral);
  keys.set("mistral3.attention.temperature_scale", config.query_growth.beta);
  if (config.rope.mscale_all_dim != 0) {
    keys.set("mistral3.rope.scaling.yarn_log_multiplier",
             static_cast<float>(config.rope.mscale_all_dim));
  }
  return keys;
}

}  // namespace

extern const Family kMistral, kMinistral3;
const Family kMinistral3 = {{"ministral3"},
                            {kMinistral},
                            read_ministral_config,
                            write_ministral_config,
                            read_ministral_gguf,
                            write_ministral_gguf,
                            tensors,
                            decoder_forward,
                            decoder_head};
const Family kMistral = {{"mistral"}, {"llama"}, read_config,     write_config, nullptr,
                         write_gguf,  tensors,   decoder_forward, decoder_head};

}  // namespace millrace
