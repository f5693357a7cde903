// Gemma (Gemma team 2024): embeddings scaled, norms whose weights are held less 1.
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kFields = {.activation = "hidden_act",
                            .default_activation = "gelu_pytorch_tanh",
                            .default_tied = true,
                            .default_head_dim = 256};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kFields);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.attention_bias = config.attention_output_bias =
      optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  require(!optional_json_field<bool>(json, "use_bidirectional_attention", source).value_or(false),
          "{}: 'use_bidirectional_attention' is not supported", source);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "GemmaForCausalLM", kFields);
  json["attention_bias"] = config.attention_bias;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "gemma", Activation::gelu_tanh);
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "gemma", Activation::gelu_tanh);
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.norm_offset = 1});
}

}  // namespace

extern const Family kGemma;
const Family kGemma = {{"gemma"},  {"gemma"}, read_config,     write_config, read_gguf,
                       write_gguf, tensors,   decoder_forward, decoder_head};

}  // namespace millrace
