// Qwen (Bai et al. 2023), the first: Llama with queries, keys and values packed and biased. Longer
// texts than it was trained on, for which it has other rules (log-n attention, a base of rope by
// the length), are not taken.
#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

const FieldNames kNames = {.norm_eps = "layer_norm_epsilon"};

ModelConfig read_config(const Json& json, std::string_view source) {
  Json renamed = json;
  for (const auto& [own, common] :
       {std::pair("rotary_emb_base", "rope_theta"),
        std::pair("rotary_pct", "partial_rotary_factor"), std::pair("kv_channels", "head_dim")}) {
    if (json.contains(own)) renamed[common] = json[own];
  }
  ModelConfig config = read_common_fields(renamed, source, kNames);
  require(config.intermediate_size % 2 == 0, "{}: intermediate_size is {}; it must be even", source,
          config.intermediate_size);
  config.intermediate_size /= 2;  // files count the gate's rows and those it gates
  config.max_position_embeddings =
      std::min(config.max_position_embeddings,
               optional_json_field<int64_t>(json, "seq_length", source).value_or(8192));
  config.attention_bias = true;
  for (const char* field : {"no_bias", "scale_attn_weights"}) {
    require(optional_json_field<bool>(json, field, source).value_or(true),
            "{}: '{}' is false, which no published Qwen has", source, field);
  }
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "QWenLMHeadModel", kNames);
  json["intermediate_size"] = 2 * config.intermediate_size;
  json["seq_length"] = config.max_position_embeddings;
  json["kv_channels"] = config.head_dim;
  json["rotary_emb_base"] = config.rope.theta;
  return json;
}

ModelConfig read_gguf(const GgufFile& file) {
  ModelConfig config = read_common_keys(file, "qwen");
  config.intermediate_size /= 2;
  return config;
}

GgufMetadata write_gguf(const ModelConfig& config) {
  GgufMetadata keys = write_common_keys(config, "qwen");
  keys.set("qwen.feed_forward_length", static_cast<uint32_t>(2 * config.intermediate_size));
  return keys;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config, {.embedding = "transformer.wte",
                                  .final_norm = "transformer.ln_f",
                                  .layer = "transformer.h.{}.",
                                  .input_norm = "ln_1",
                                  .q = "attn.q_proj",
                                  .k = "attn.k_proj",
                                  .v = "attn.v_proj",
                                  .o = "attn.c_proj",
                                  .mlp_norm = "ln_2",
                                  .gate = "mlp.w2",
                                  .up = "mlp.w1",
                                  .down = "mlp.c_proj",
                                  .qkv = "attn.c_attn",
                                  .gguf_packs_qkv = true});
}

}  // namespace

extern const Family kQwen;
const Family kQwen = {{"qwen"},   {"qwen"}, read_config,     write_config, read_gguf,
                      write_gguf, tensors,  decoder_forward, decoder_head};

}  // namespace millrace
