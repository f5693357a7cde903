// InternLM 2 (Cai et al. 2024): Llama with queries, keys and values packed by key-value head.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_norm_eps = 1e-5f});
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "bias", source).value_or(false);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "InternLM2ForCausalLM");
  json["bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  return read_common_keys(file, "internlm2");
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "internlm2");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "model.tok_embeddings",
                                  .head = "output",
                                  .input_norm = "attention_norm",
                                  .o = "attention.wo",
                                  .mlp_norm = "ffn_norm",
                                  .gate = "feed_forward.w1",
                                  .up = "feed_forward.w3",
                                  .down = "feed_forward.w2",
                                  .qkv = "attention.wqkv",
                                  .qkv_by_head = true,
                                  .gguf_interleaves = true});
}

}  // namespace

extern const Family kInternLm2;
const Family kInternLm2 = {{"internlm2"}, {"internlm2"}, read_config,     write_config, read_gguf,
                           write_gguf,    tensors,       decoder_forward, decoder_head};

}  // namespace millrace
