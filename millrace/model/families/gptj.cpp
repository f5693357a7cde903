// GPT-J (Wang and Komatsuzaki 2021): one norm for attention and MLP side by side, interleaved rope.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.hidden_size = "n_embd",
                            .num_layers = "n_layer",
                            .num_heads = "n_head",
                            .intermediate_size = "n_inner",
                            .max_positions = "n_positions",
                            .activation = "activation_function",
                            .norm_eps = "layer_norm_epsilon",
                            .default_activation = "gelu_new",
                            .default_intermediate_factor = 4,
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  config.mlp_bias = true;
  config.parallel_residual = true;
  config.rope_pairing = RopePairing::interleaved;
  config.rope.rotary_dim =
      optional_json_field<int64_t>(json, "rotary_dim", source).value_or(config.head_dim);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GPTJForCausalLM", kFields);
  json["rotary_dim"] = config.rope.rotary_dim;
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "transformer.wte",
                                  .final_norm = "transformer.ln_f",
                                  .head_bias = "lm_head",
                                  .layer = "transformer.h.{}.",
                                  .input_norm = "ln_1",
                                  .q = "attn.q_proj",
                                  .k = "attn.k_proj",
                                  .v = "attn.v_proj",
                                  .o = "attn.out_proj",
                                  .mlp_norm = "",
                                  .gate = "",
                                  .up = "mlp.fc_in",
                                  .down = "mlp.fc_out"});
}

}  // namespace

extern const Family kGptJ;
const Family kGptJ = {{"gptj"}, {},      read_config,     write_config, nullptr,
                      nullptr,  tensors, decoder_forward, decoder_head};

}  // namespace millrace
