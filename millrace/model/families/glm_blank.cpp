// GLM (Du et al. 2022) as it was first: blanks of a text are filled behind it, by tokens of two
// positions. Files as Hugging Face's conversions have them.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kFields = {.num_layers = "num_layers",
                                .max_positions = "max_sequence_length",
                                .norm_eps = "layernorm_epsilon",
                                .default_activation = "gelu",
                                .default_intermediate_factor = 4,
                                .default_tied = true,
                                .default_norm_eps = 1e-5f,
                                .norm = NormKind::layer,
                                .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  for (const auto& [field, supported] :
       {std::pair("block_position_encoding", true), std::pair("relative_encoding", false)}) {
    const bool value = optional_json_field<bool>(json, field, source).value_or(supported);
    require(value == supported, "{}: {} is {}, which is not supported", source, field, value);
  }
  ModelConfig config = read_common_fields(json, source, kFields);
  config.model_type = "glm_blank";
  config.max_position_embeddings += 1;  // as tables have rows
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.fills_blanks = true;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GLMForConditionalGeneration", kFields);
  json["model_type"] = "glm";
  json["max_sequence_length"] = config.max_position_embeddings - 1;
  json["block_position_encoding"] = true;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "glm.word_embeddings",
                                  .positions = "glm.transformer.position_embeddings",
                                  .block_positions = "glm.transformer.block_position_embeddings",
                                  .final_norm = "glm.transformer.final_layernorm",
                                  .layer = "glm.transformer.layers.{}.",
                                  .o = "attention.dense",
                                  .mlp_norm = "post_attention_layernorm",
                                  .gate = "",
                                  .up = "mlp.dense_h_to_4h",
                                  .down = "mlp.dense_4h_to_h",
                                  .qkv = "attention.query_key_value"});
}

}  // namespace

extern const Family kGlmBlank;
const Family kGlmBlank = {{"glm_blank"},
                          {},
                          read_config,
                          write_config,
                          nullptr,
                          nullptr,
                          tensors,
                          decoder_forward,
                          decoder_head,
                          nullptr,
                          {"glm", "block_position_encoding"}};

}  // namespace millrace
