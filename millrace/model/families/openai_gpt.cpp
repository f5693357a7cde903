// GPT (Radford et al. 2018): learned positions, norms behind what they norm.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.hidden_size = "n_embd",
                            .num_layers = "n_layer",
                            .num_heads = "n_head",
                            .intermediate_size = "n_inner",
                            .max_positions = "n_positions",
                            .activation = "afn",
                            .norm_eps = "layer_norm_epsilon",
                            .default_activation = "gelu",
                            .default_intermediate_factor = 4,
                            .default_tied = true,
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  if (config.activation == Activation::gelu) config.activation = Activation::gelu_tanh;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.norm_behind_residual = true;
  require(config.intermediate_size == 4 * config.hidden_size,
          "{}: a GPT's MLP is four times as wide as its hidden states", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "OpenAIGPTLMHeadModel", kFields);
  if (config.activation == Activation::gelu_tanh) json["afn"] = "gelu";  // its name for it
  json.erase("n_inner");
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "transformer.tokens_embed",
                                  .positions = "transformer.positions_embed",
                                  .final_norm = "",
                                  .layer = "transformer.h.{}.",
                                  .input_norm = "ln_1",
                                  .o = "attn.c_proj",
                                  .mlp_norm = "ln_2",
                                  .gate = "",
                                  .up = "mlp.c_fc",
                                  .down = "mlp.c_proj",
                                  .qkv = "attn.c_attn",
                                  .transposed = true});
}

}  // namespace

extern const Family kOpenAiGpt;
const Family kOpenAiGpt = {{"openai-gpt"}, {},      read_config,     write_config, nullptr,
                           nullptr,        tensors, decoder_forward, decoder_head};

}  // namespace millrace
