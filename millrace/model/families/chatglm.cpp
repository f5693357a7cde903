// ChatGLM 2 and 3 (Zhipu 2023) and GLM-4-9B as it was first published: GLM under Megatron's names,
// queries, keys and values packed.
#include <array>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kFields = {.default_norm_eps = 1e-5f, .default_rotary_factor = 0.5};

/// What these files call GLM's fields.
constexpr std::array<std::pair<const char*, const char*>, 7> kNames = {
    {{"num_layers", "num_hidden_layers"},
     {"kv_channels", "head_dim"},
     {"ffn_hidden_size", "intermediate_size"},
     {"seq_length", "max_position_embeddings"},
     {"layernorm_epsilon", "rms_norm_eps"},
     {"padded_vocab_size", "vocab_size"},
     {"multi_query_group_num", "num_key_value_heads"}}};

ModelConfig read_config(const Json& json, std::string_view source) {
  for (const auto& [field, supported] :
       {std::pair("rmsnorm", true), std::pair("post_layer_norm", true),
        std::pair("add_bias_linear", false),
        std::pair("apply_residual_connection_post_layernorm", false)}) {
    const bool value = optional_json_field<bool>(json, field, source).value_or(supported);
    require(value == supported, "{}: {} is {}, which is not supported", source, field, value);
  }
  Json renamed = json;
  for (const auto& [theirs, ours] : kNames) {
    if (json.contains(theirs)) renamed[ours] = json[theirs];
  }
  const auto grouped = optional_json_field<bool>(json, "multi_query_attention", source);
  if (!grouped.value_or(false)) renamed.erase("num_key_value_heads");
  renamed["rope_theta"] =
      10000 * optional_json_field<double>(json, "rope_ratio", source).value_or(1);
  ModelConfig config = read_common_fields(renamed, source, kFields);
  config.attention_bias = optional_json_field<bool>(json, "add_qkv_bias", source).value_or(false);
  config.rope_pairing = RopePairing::interleaved;
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "ChatGLMForConditionalGeneration", kFields);
  json["num_key_value_heads"] = config.num_kv_heads;
  for (const auto& [theirs, ours] : kNames) {
    json[theirs] = json[ours];
    json.erase(ours);
  }
  require(config.rope.scaling == RopeScaling::none,
          "a chatglm's configuration has no field for the scaling of rope");
  for (const char* field : {"rope_theta", "rope_parameters", "hidden_act"}) json.erase(field);
  json["rope_ratio"] = config.rope.theta / 10000;
  json["multi_query_attention"] = true;
  json["add_qkv_bias"] = config.attention_bias;
  return json;
}

/// Files that pack no queries, keys and values are of a model in GLM's own layout.
ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "chatglm");
  config.rope_pairing = RopePairing::interleaved;
  if (file.tensors.find("blk.0.attn_qkv.weight") == nullptr) config.model_type = "glm";
  return config;
}

TensorSpecs tensors(const ModelConfig& config) {
  TensorSpecs specs = decoder_tensors(config, {.embedding = "transformer.embedding.word_embeddings",
                                               .final_norm = "transformer.encoder.final_layernorm",
                                               .head = "transformer.output_layer",
                                               .layer = "transformer.encoder.layers.{}.",
                                               .o = "self_attention.dense",
                                               .down = "mlp.dense_4h_to_h",
                                               .qkv = "self_attention.query_key_value",
                                               .gate_up = "mlp.dense_h_to_4h",
                                               .gguf_packs_qkv = true,
                                               .gguf_packs_gates = true});
  specs.unneeded = {"rotary_pos_emb.inv_freq"};
  return specs;
}

}  // namespace

extern const Family kChatGlm;
const Family kChatGlm = {
    {"chatglm"}, {"chatglm"},
    read_config, write_config,
    read_gguf,   [](const ModelConfig& config) { return write_common_keys(config, "chatglm"); },
    tensors,     decoder_forward,
    decoder_head};

}  // namespace millrace
