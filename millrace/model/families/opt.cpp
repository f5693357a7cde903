// OPT (Zhang et al. 2022): learned positions, layer norms, ReLU.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.intermediate_size = "ffn_dim",
                            .activation = "activation_function",
                            .norm_eps = "",
                            .initializer_range = "init_std",
                            .default_activation = "relu",
                            .default_tied = true,
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  config.position_offset = 2;
  auto flag = [&](const char* field, bool otherwise) {
    return optional_json_field<bool>(json, field, source).value_or(otherwise);
  };
  config.attention_bias = config.attention_output_bias = config.mlp_bias =
      flag("enable_bias", true);
  for (const char* field : {"do_layer_norm_before", "layer_norm_elementwise_affine"}) {
    require(flag(field, true), "{}: an OPT without '{}' is not supported", source, field);
  }
  require(!flag("_remove_final_layer_norm", false),
          "{}: '_remove_final_layer_norm' is not supported", source);
  const auto width = optional_json_field<int64_t>(json, "word_embed_proj_dim", source);
  require(width.value_or(config.hidden_size) == config.hidden_size,
          "{}: a word_embed_proj_dim other than hidden_size is not supported", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "OPTForCausalLM", kFields);
  json["enable_bias"] = config.mlp_bias;
  json["word_embed_proj_dim"] = config.hidden_size;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "model.decoder.embed_tokens",
                                  .positions = "model.decoder.embed_positions",
                                  .final_norm = "model.decoder.final_layer_norm",
                                  .layer = "model.decoder.layers.{}.",
                                  .input_norm = "self_attn_layer_norm",
                                  .o = "self_attn.out_proj",
                                  .mlp_norm = "final_layer_norm",
                                  .gate = "",
                                  .up = "fc1",
                                  .down = "fc2"});
}

}  // namespace

extern const Family kOpt;
const Family kOpt = {{"opt"}, {},      read_config,     write_config, nullptr,
                     nullptr, tensors, decoder_forward, decoder_head};

}  // namespace millrace
