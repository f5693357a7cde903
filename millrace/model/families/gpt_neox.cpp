// GPT-NeoX and Pythia (Black et al. 2022): attention and MLP side by side, rope of a part of each
// head.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.norm_eps = "layer_norm_eps",
                            .default_activation = "gelu",
                            .default_norm_eps = 1e-5f,
                            .norm = NormKind::layer,
                            .default_rotary_factor = 0.25};

ModelConfig read_config(const Json& json, std::string_view source) {
  Json renamed = json;  // as transformers 4 had rope's fields
  if (json.contains("rotary_pct")) renamed["partial_rotary_factor"] = json["rotary_pct"];
  if (json.contains("rotary_emb_base")) renamed["rope_theta"] = json["rotary_emb_base"];
  ModelConfig config = read_common_fields(renamed, source, kFields);
  config.mlp_bias = true;
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(true);
  config.parallel_residual =
      optional_json_field<bool>(json, "use_parallel_residual", source).value_or(true);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GPTNeoXForCausalLM", kFields);
  json["attention_bias"] = config.attention_bias;
  json["use_parallel_residual"] = config.parallel_residual;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gptneox", Activation::gelu);
  config.parallel_residual =
      file.metadata.get_optional<bool>("gptneox.use_parallel_residual").value_or(true);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "gptneox", Activation::gelu);
  keys.set("gptneox.use_parallel_residual", config.parallel_residual);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.embedding = "gpt_neox.embed_in",
                                               .final_norm = "gpt_neox.final_layer_norm",
                                               .head = "embed_out",
                                               .layer = "gpt_neox.layers.{}.",
                                               .o = "attention.dense",
                                               .gate = "",
                                               .up = "mlp.dense_h_to_4h",
                                               .down = "mlp.dense_4h_to_h",
                                               .qkv = "attention.query_key_value",
                                               .qkv_by_head = true,
                                               .gguf_packs_qkv = true});
  specs.unneeded = {".attention.bias", ".attention.masked_bias"};  // masks
  return specs;
}

}  // namespace

extern const Family kGptNeoX;
const Family kGptNeoX = {{"gpt_neox"}, {"gptneox"}, read_config,     write_config, read_gguf,
                         write_gguf,   tensors,     decoder_forward, decoder_head};

}  // namespace millrace
