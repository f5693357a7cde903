// PanGu-α (Zeng et al. 2021): GPT-2's decoder with a query layer on top, whose queries are those of
// the position to predict. Files as its conversions to PyTorch have them.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.num_layers = "num_layers",
                            .num_heads = "num_heads",
                            .activation = "activation_function",
                            .norm_eps = "layer_norm_epsilon",
                            .default_activation = "gelu",
                            .default_intermediate_factor = 4,
                            .default_tied = true,
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.query_layer = true;
  if (!optional_json_field<bool>(json, "scale_attn_weights", source).value_or(true)) {
    config.attention_scale = 1;
  }
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GPTPanguForCausalLM", kFields);
  json["scale_attn_weights"] = config.attention_scale == 0;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "transformer.wte",
                                  .positions = "transformer.wpe",
                                  .final_norm = "transformer.ln_f",
                                  .queries = "transformer.wqe",
                                  .layer = "transformer.h.{}.",
                                  .input_norm = "ln_1",
                                  .q = "attn.q_proj",
                                  .k = "attn.k_proj",
                                  .v = "attn.v_proj",
                                  .o = "attn.c_proj",
                                  .mlp_norm = "ln_2",
                                  .gate = "",
                                  .up = "mlp.c_fc",
                                  .down = "mlp.c_proj"});
}

}  // namespace

extern const Family kPanGuAlpha;
const Family kPanGuAlpha = {{"gpt_pangu"}, {},      read_config,     write_config, nullptr,
                            nullptr,       tensors, decoder_forward, decoder_head};

}  // namespace millrace
