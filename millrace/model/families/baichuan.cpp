// Baichuan 7B (Yang et al. 2023) is Llama with queries, keys and values packed; 13B has ALiBi for
// rope. The rows of Baichuan 2's head are used at length 1.
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

/// What tells a Baichuan 2 from the first: its configuration says nothing of its head.
constexpr int64_t kBaichuan2Vocabulary = 125696;

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = json.contains("max_position_embeddings")
                           ? read_common_fields(json, source)
                           : with_alibi(read_common_fields(json, source, kAlibiFields));
  config.unit_head = optional_json_field<bool>(json, "normalized_head", source)
                         .value_or(config.vocab_size == kBaichuan2Vocabulary);
  require(!config.unit_head || !config.tie_word_embeddings,
          "{}: a normalized head cannot be tied to the embeddings", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "BaichuanForCausalLM",
                                  config.alibi_max_bias > 0 ? kAlibiFields : FieldNames());
  json["normalized_head"] = config.unit_head;
  return json;
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
