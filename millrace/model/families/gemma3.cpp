// Gemma 3 (Gemma team 2025), text: Gemma 2 with norms of queries and keys for its caps, and another
// rope in windowed layers.
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

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(with_rope_of(json, false, source), source, kFields);
  config.windowed_rope = read_common_fields(with_rope_of(json, true, source), source, kFields).rope;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  require(!optional_json_field<bool>(json, "use_bidirectional_attention", source).value_or(false),
          "{}: 'use_bidirectional_attention' is not supported", source);
  read_score_fields(json, source, {0, 0, 256}, config);
  read_window_fields(json, source, config);
  if (config.windowed.empty()) {
    window_all_but_every(
        optional_json_field<int64_t>(json, "sliding_window_pattern", source).value_or(6), config);
  }
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "Gemma3ForCausalLM", kFields);
  json["rope_local_base_freq"] = config.windowed_rope.value_or(config.rope).theta;
  write_ropes(config, "Gemma3ForCausalLM", kFields, json);
  json["attention_bias"] = config.attention_bias;
  write_score_fields(config, json);
  write_window_fields(config, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gemma3", Activation::gelu_tanh);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  if (config.windowed.empty()) window_all_but_every(6, config);
  config.windowed_rope = config.rope;
  config.windowed_rope->theta =
      file.metadata.get_optional<double>("gemma3.rope.freq_base_swa").value_or(10000);
  config.windowed_rope->scaling = RopeScaling::none;
  if (config.attention_scale == 0 && config.num_layers == 62) {  // 27B, as llama.cpp tells it
    config.attention_scale =
        1 / std::sqrt(static_cast<float>(config.hidden_size / config.num_heads));
  }
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "gemma3", Activation::gelu_tanh);
  if (config.windowed_rope) {
    keys.set("gemma3.rope.freq_base_swa", static_cast<float>(config.windowed_rope->theta));
  }
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.q_norm = "self_attn.q_norm",
                                  .k_norm = "self_attn.k_norm",
                                  .attention_norm = "post_attention_layernorm",
                                  .mlp_norm = "pre_feedforward_layernorm",
                                  .output_norm = "post_feedforward_layernorm",
                                  .norm_offset = 1});
}

}  // namespace

extern const Family kGemma3;
const Family kGemma3 = {{"gemma3_text"}, {"gemma3"}, read_config,     write_config, read_gguf,
                        write_gguf,      tensors,    decoder_forward, decoder_head};

}  // namespace millrace
