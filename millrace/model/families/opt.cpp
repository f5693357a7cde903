// OPT (Zhang et al. 2022): learned positions, layer norms, ReLU. 350M has norms behind what they
// norm, and embeddings of half the width.
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
  require(flag("layer_norm_elementwise_affine", true),
          "{}: an OPT without 'layer_norm_elementwise_affine' is not supported", source);
  require(!flag("_remove_final_layer_norm", false),
          "{}: '_remove_final_layer_norm' is not supported", source);
  config.norm_behind_residual = !flag("do_layer_norm_before", true);
  config.embedding_size = optional_json_field<int64_t>(json, "word_embed_proj_dim", source)
                              .value_or(config.hidden_size);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "OPTForCausalLM", kFields);
  json["enable_bias"] = config.mlp_bias;
  json["do_layer_norm_before"] = !config.norm_behind_residual;
  json["word_embed_proj_dim"] = config.embedding_size;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  const bool normed = config.norm_behind_residual;
  return decoder_tensors(config, {.embedding = "model.decoder.embed_tokens",
                                  .project_in = "model.decoder.project_in",
                                  .project_out = "model.decoder.project_out",
                                  .positions = "model.decoder.embed_positions",
                                  .final_norm = normed ? "" : "model.decoder.final_layer_norm",
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
                     nullptr, tensors, decoder_forward, decoder_head, decoder_head_input};

}  // namespace millrace
