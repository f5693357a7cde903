// MiniMax-M2 (MiniMax 2025): rope of a part of each head, queries and keys normed as whole rows,
// experts chosen by sigmoids with a bias.
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {.default_head_dim = 128, .default_rope_theta = 5e6};
constexpr ExpertFieldNames kFields = {.count = "num_local_experts",
                                      .intermediate_size = "",
                                      .normalized = "",
                                      .default_normalized = true};

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  read_expert_fields(json, source, kFields, config);
  config.experts.routing.score = RouterScore::sigmoid;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MiniMaxM2ForCausalLM", kNames);
  json["rotary_dim"] = config.rope.rotary_dim;
  write_expert_fields(config, kFields, json);
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "minimax-m2");
  read_expert_keys(file, "minimax-m2", true, config);
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "minimax-m2");
  write_expert_keys(config, keys);
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config,
                         {.q_norm = "self_attn.q_norm",
                          .k_norm = "self_attn.k_norm",
                          .norms_all_heads = true,
                          .experts = {.router = "block_sparse_moe.gate",
                                      .selection_bias = "block_sparse_moe.e_score_correction_bias",
                                      .expert = "block_sparse_moe.experts.{}.",
                                      .parts = {"w1", "w3", "w2"}}});
}

}  // namespace

extern const Family kMiniMaxM2;
const Family kMiniMaxM2 = {{"minimax_m2"}, {"minimax-m2"}, read_config,     write_config, read_gguf,
                           write_gguf,     tensors,        decoder_forward, decoder_head};

}  // namespace millrace
