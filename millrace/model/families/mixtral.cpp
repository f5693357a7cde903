// Mixtral (Jiang et al. 2024): Mistral with experts. In GGUF it is a llama.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr ExpertFieldNames kFields = {.count = "num_local_experts",
                                      .intermediate_size = "",
                                      .normalized = "",
                                      .default_normalized = true};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, {.default_norm_eps = 1e-5f});
  read_window_fields(json, source, config);
  read_expert_fields(json, source, kFields, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MixtralForCausalLM");
  json["sliding_window"] = config.sliding_window > 0 ? Json(config.sliding_window) : Json();
  write_expert_fields(config, kFields, json);
  return json;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "llama");
  write_expert_keys(config, keys);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.experts = {.router = "block_sparse_moe.gate",
                                              .expert = "block_sparse_moe.experts.{}.",
                                              .parts = {"w1", "w3", "w2"}},
                                  .gguf_interleaves = true});
}

}  // namespace

extern const Family kMixtral;
const Family kMixtral = {{"mixtral"}, {"llama"}, read_config,     write_config, nullptr,
                         write_gguf,  tensors,   decoder_forward, decoder_head};

}  // namespace millrace
