// Baichuan 7B (Yang et al. 2023) is Llama with queries, keys and values packed; 13B has ALiBi for
// rope.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

/// The 13B models have no table of positions, nor a number of them under its usual name.
ModelConfig with_alibi(ModelConfig config) {
  config.rope.rotary_dim = 0;
  config.alibi_max_bias = 8;
  return config;
}

const FieldNames kAlibiFields = {.max_positions = "model_max_length", .rope = false};

ModelConfig read_config(const Json& json, std::string_view source) {
  if (json.contains("max_position_embeddings")) return read_common_fields(json, source);
  return with_alibi(read_common_fields(json, source, kAlibiFields));
}

Json write_config(const ModelConfig& config) {
  return write_common_fields(config, "BaichuanForCausalLM",
                             config.alibi_max_bias > 0 ? kAlibiFields : FieldNames());
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "baichuan");
  return config.alibi_max_bias > 0 || config.num_layers == 40 ? with_alibi(config) : config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "baichuan");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.qkv = "self_attn.W_pack", .gguf_interleaves = true});
}

}  // namespace

extern const Family kBaichuan;
const Family kBaichuan = {{"baichuan"}, {"baichuan"}, read_config,     write_config, read_gguf,
                          write_gguf,   tensors,      decoder_forward, decoder_head};

}  // namespace millrace
