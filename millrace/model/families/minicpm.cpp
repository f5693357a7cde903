// MiniCPM (Hu et al. 2024): Llama whose embeddings, residuals and head's input are scaled by the
// rules of µP; MiniCPM 3 has latent attention in it.
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"
#include "millrace/model/latent_attention.h"
#include "millrace/model/latent_fields.h"

namespace millrace {
namespace {

constexpr const char *kPlain = "minicpm", *kLatent = "minicpm3";
const FieldNames kNames = {.default_tied = true};

/// "scale_emb", "scale_depth" and "dim_model_base".
struct Scales {
  double embedding, depth, model_base;
};
constexpr Scales kNone = {1, 1, 1};
/// What MiniCPM's releases have, MiniCPM 3's architecture in GGUF means, and that of the others
/// where a file does not say.
constexpr Scales kPublished = {12, 1.4, 256};

void set_scales(const Scales& scales, ModelConfig& config) {
  config.embedding_scale = static_cast<float>(scales.embedding);
  config.attention_residual.output = config.mlp_residual.output =
      static_cast<float>(scales.depth / std::sqrt(static_cast<double>(config.num_layers)));
  config.head_input_scale =
      static_cast<float>(scales.model_base / static_cast<double>(config.hidden_size));
}

/// A number of the hidden size's kind, without what f32 added to it.
double rounded(double value) {
  const double whole = std::round(value);
  return std::abs(value - whole) < 1e-6 * std::abs(value) ? whole : value;
}

Scales scales_of(const ModelConfig& config) {
  return {static_cast<double>(config.embedding_scale),
          static_cast<double>(config.mlp_residual.output) *
              std::sqrt(static_cast<double>(config.num_layers)),
          rounded(static_cast<double>(config.head_input_scale) *
                  static_cast<double>(config.hidden_size))};
}

/// A field that is null stands for the number that scales nothing.
void read_scales(const Json& json, std::string_view source, const Scales& defaults,
                 ModelConfig& config) {
  auto number = [&](const char* name, double otherwise, double neutral) {
    if (!json.contains(name)) return otherwise;
    return optional_json_field<double>(json, name, source).value_or(neutral);
  };
  set_scales(
      {number("scale_emb", defaults.embedding, 1),
       number("scale_depth", defaults.depth, std::sqrt(static_cast<double>(config.num_layers))),
       number("dim_model_base", defaults.model_base, static_cast<double>(config.hidden_size))},
      config);
}

Json write_scaled_config(const ModelConfig& config, const char* architecture) {
  Json json = write_common_fields(config, architecture, kNames);
  const Scales scales = scales_of(config);
  json["scale_emb"] = scales.embedding;
  json["scale_depth"] = scales.depth;
  json["dim_model_base"] = scales.model_base;
  if (scales.model_base == std::round(scales.model_base)) {
    json["dim_model_base"] = std::llround(scales.model_base);
  }
  return json;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  require(optional_json_field<int64_t>(json, "num_experts", source).value_or(0) == 0,
          "{}: experts are not supported in a minicpm model", source);
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  config.mlp_bias = optional_json_field<bool>(json, "mlp_bias", source).value_or(false);
  read_scales(json, source, kNone, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_scaled_config(config, "MiniCPMForCausalLM");
  json["attention_bias"] = config.attention_bias;
  json["mlp_bias"] = config.mlp_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kPlain);
  set_scales(kPublished, config);
  auto read = [&](const char* name, auto set) {
    if (const auto value = file.metadata.get_optional<float>(name)) set(*value);
  };
  read("minicpm.embedding_scale", [&](float value) { config.embedding_scale = value; });
  read("minicpm.residual_scale",
       [&](float value) { config.attention_residual.output = config.mlp_residual.output = value; });
  read("minicpm.logit_scale", [&](float value) { config.head_input_scale = 1 / value; });
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, kPlain);
  keys.set("minicpm.embedding_scale", config.embedding_scale);
  keys.set("minicpm.residual_scale", config.mlp_residual.output);
  keys.set("minicpm.logit_scale", 1 / config.head_input_scale);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

ModelConfig read_latent_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  read_latent_fields(json, source, config, config.hidden_size / config.num_heads);
  config.mlp_bias = optional_json_field<bool>(json, "mlp_bias", source).value_or(false);
  read_scales(json, source, kPublished, config);
  return config;
}

Json write_latent_config(const ModelConfig& config) {
  Json json = write_scaled_config(config, "MiniCPM3ForCausalLM");
  write_latent_fields(config, json);
  json["mlp_bias"] = config.mlp_bias;
  return json;
}

ModelConfig read_latent_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, kLatent);
  read_latent_keys(file, kLatent, config);
  set_scales(kPublished, config);
  return config;
}

GgufMetadata write_latent_gguf(const ModelConfig& config) {
  ModelConfig published = config;
  set_scales(kPublished, published);
  require(config.embedding_scale == published.embedding_scale &&
              config.mlp_residual.output == published.mlp_residual.output &&
              config.head_input_scale == published.head_input_scale,
          "GGUF's minicpm3 means scale_emb {}, scale_depth {} and dim_model_base {}; this model's "
          "are others",
          kPublished.embedding, kPublished.depth, kPublished.model_base);
  GgufMetadata keys = write_common_keys(config, kLatent);
  write_latent_keys(config, true, keys);
  return keys;
}

TensorSpecs latent_tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_latents_as_published = true});
}

}  // namespace

extern const Family kMiniCpm, kMiniCpm3;

const Family kMiniCpm = {{kPlain},   {kPlain}, read_config,     write_config, read_gguf,
                         write_gguf, tensors,  decoder_forward, decoder_head, decoder_head_input};

const Family kMiniCpm3 = {
    {kLatent},         {kLatent},      read_latent_config, write_latent_config, read_latent_gguf,
    write_latent_gguf, latent_tensors, decoder_forward,    decoder_head,        decoder_head_input};

}  // namespace millrace
