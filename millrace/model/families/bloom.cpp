// BLOOM (BigScience 2022): ALiBi for positions, embeddings normed, queries, keys and values packed.
#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.num_layers = "n_layer",
                            .num_heads = "n_head",
                            .intermediate_size = "n_inner",
                            .max_positions = "seq_length",
                            .activation = "",
                            .norm_eps = "layer_norm_epsilon",
                            .default_activation = "gelu_new",
                            .default_intermediate_factor = 4,
                            .default_tied = true,
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .rope = false,
                            .default_max_positions = 2048};

/// What no file says.
ModelConfig with_alibi(ModelConfig config) {
  config.alibi_max_bias = 8;
  config.rope.rotary_dim = 0;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  return config;
}

ModelConfig read_config(const Json& json, std::string_view source) {
  const char* field = "apply_residual_connection_post_layernorm";
  require(!optional_json_field<bool>(json, field, source).value_or(false),
          "{}: '{}' is not supported", source, field);
  Json renamed = json;  // as its first files had them
  if (json.contains("n_embed")) renamed["hidden_size"] = json["n_embed"];
  if (json.contains("num_attention_heads")) renamed["n_head"] = json["num_attention_heads"];
  return with_alibi(read_common_fields(renamed, source, kFields));
}

Json write_config(const ModelConfig& config) {
  return write_common_fields(config, "BloomForCausalLM", kFields);
}

ModelConfig read_gguf(const GgufFile& file) {
  return with_alibi(read_common_keys(file, "bloom", Activation::gelu_tanh));
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "bloom", Activation::gelu_tanh);
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "transformer.word_embeddings",
                                  .embedding_norm = "transformer.word_embeddings_layernorm",
                                  .final_norm = "transformer.ln_f",
                                  .layer = "transformer.h.{}.",
                                  .o = "self_attention.dense",
                                  .gate = "",
                                  .up = "mlp.dense_h_to_4h",
                                  .down = "mlp.dense_4h_to_h",
                                  .qkv = "self_attention.query_key_value",
                                  .qkv_by_head = true,
                                  .gguf_packs_qkv = true});
}

}  // namespace

extern const Family kBloom;
const Family kBloom = {{"bloom"},  {"bloom"}, read_config,     write_config, read_gguf,
                       write_gguf, tensors,   decoder_forward, decoder_head};

}  // namespace millrace
