// ChatGLM-6B (Zhipu 2023), the first: GLM's blanks, with rope that turns half of a head by the
// position in the text and half by that in the blank, and residuals of normed states.
#include <array>
#include <cmath>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kFields = {.num_layers = "num_layers",
                                .intermediate_size = "inner_hidden_size",
                                .max_positions = "max_sequence_length",
                                .norm_eps = "layernorm_epsilon",
                                .default_activation = "gelu_new",
                                .default_intermediate_factor = 4,
                                .default_norm_eps = 1e-5f,
                                .norm = NormKind::layer,
                                .default_rotary_factor = 0.5};

ModelConfig read_config(const Json& json, std::string_view source) {
  require(json_field<bool>(json, "position_encoding_2d", source),
          "{}: position_encoding_2d is false, which is not supported", source);
  for (const char* field : {"pre_seq_len", "quantization_bit"}) {
    const auto value = optional_json_field<int64_t>(json, field, source).value_or(0);
    require(value == 0, "{}: {} is {}, which is not supported", source, field, value);
  }
  ModelConfig config = read_common_fields(json, source, kFields);
  config.model_type = "chatglm_1";
  config.rope.f16_frequencies = true;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.fills_blanks = true;
  config.normed_residual = true;
  const float residual = std::sqrt(2 * static_cast<float>(config.num_layers));
  config.attention_residual.residual = config.mlp_residual.residual = residual;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "ChatGLMModel", kFields);
  for (const char* field : {"rope_parameters", "hidden_act", "num_key_value_heads"}) {
    json.erase(field);
  }
  json["model_type"] = "chatglm";
  json["position_encoding_2d"] = true;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.embedding = "transformer.word_embeddings",
                                               .final_norm = "transformer.final_layernorm",
                                               .layer = "transformer.layers.{}.",
                                               .o = "attention.dense",
                                               .gate = "",
                                               .up = "mlp.dense_h_to_4h",
                                               .down = "mlp.dense_4h_to_h",
                                               .qkv = "attention.query_key_value",
                                               .qkv_by_head = true});
  specs.unneeded = {"rotary_emb.inv_freq"};
  return specs;
}

}  // namespace

extern const Family kChatGlm1;
const Family kChatGlm1 = {{"chatglm_1"},
                          {},
                          read_config,
                          write_config,
                          nullptr,
                          nullptr,
                          tensors,
                          decoder_forward,
                          decoder_head,
                          nullptr,
                          {"chatglm", "position_encoding_2d"}};

}  // namespace millrace
