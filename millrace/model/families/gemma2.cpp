// Gemma 2 (Gemma team 2024): norms on both sides, soft caps, windows in every other layer.
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.activation = "hidden_activation",
                            .default_activation = "gelu_pytorch_tanh",
                            .default_tied = true,
                            .default_head_dim = 256};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  require(!optional_json_field<bool>(json, "use_bidirectional_attention", source).value_or(false),
          "{}: 'use_bidirectional_attention' is not supported", source);
  read_score_fields(json, source, {50, 30, 256}, config);
  read_window_fields(json, source, config);
  if (config.windowed.empty()) window_all_but_every(2, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Gemma2ForCausalLM", kFields);
  json["attention_bias"] = config.attention_bias;
  write_score_fields(config, json);
  write_window_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gemma2", Activation::gelu_tanh);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  if (config.windowed.empty()) window_all_but_every(2, config);
  if (config.attention_scale == 0 && config.num_layers == 46) {  // 27B, as llama.cpp tells it
    config.attention_scale =
        1 / std::sqrt(static_cast<float>(config.hidden_size / config.num_heads));
  }
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "gemma2", Activation::gelu_tanh);
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.attention_norm = "post_attention_layernorm",
                                  .mlp_norm = "pre_feedforward_layernorm",
                                  .output_norm = "post_feedforward_layernorm",
                                  .norm_offset = 1});
}

}  // namespace

extern const Family kGemma2;
const Family kGemma2 = {{"gemma2"}, {"gemma2"}, read_config,     write_config, read_gguf,
                        write_gguf, tensors,    decoder_forward, decoder_head};

}  // namespace millrace
