// Mistral (Jiang et al. 2023): Llama with a sliding window. In GGUF it is a llama.
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source);
  read_window_fields(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MistralForCausalLM");
  json["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
  return json;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  return write_common_keys(config, "llama");
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.gguf_interleaves = true});
}

}  // namespace

extern const Family kMistral;
const Family kMistral = {{"mistral"}, {"llama"}, read_config,     write_config, nullptr,
                         write_gguf,  tensors,   decoder_forward, decoder_head};

}  // namespace millrace
