#include "millrace/model/latent_fields.h"

#include "millrace/base/error.h"
#include "millrace/model/latent_attention.h"

namespace millrace {
namespace {

/// Checks the sizes before the options, which are computed with them.
void set_checked_options(ModelConfig& config, std::string_view source) {
  const int64_t rope_dim = config.latent.rope_dim;
  require(rope_dim > 0 && rope_dim <= 4096,
          "{}: qk_rope_head_dim is {}; it must be between 1 and 4096", source, rope_dim);
  config.head_dim = config.rope.rotary_dim = rope_dim;
  validate(config, source);
  set_latent_options(config);
}

}  // namespace

void read_latent_fields(const Json& json, std::string_view source, ModelConfig& config,
                        int64_t default_value_dim) {
  auto integer = [&](const char* name) { return json_field<int64_t>(json, name, source); };
  require(config.num_kv_heads == config.num_heads,
          "{}: num_key_value_heads is {}; latent attention has as many as heads", source,
          config.num_kv_heads);
  LatentConfig& latent = config.latent;
  latent = {.kv_rank = integer("kv_lora_rank"),
            .q_rank = optional_json_field<int64_t>(json, "q_lora_rank", source).value_or(0),
            .key_dim = integer("qk_nope_head_dim"),
            .rope_dim = integer("qk_rope_head_dim"),
            .value_dim = default_value_dim};
  if (default_value_dim == 0 || json.contains("v_head_dim")) {
    latent.value_dim = integer("v_head_dim");
  }
  for (const auto& [name, meant] : {std::pair("head_dim", latent.rope_dim),
                                    std::pair("qk_head_dim", latent.key_dim + latent.rope_dim)}) {
    const auto said = optional_json_field<int64_t>(json, name, source).value_or(meant);
    require(said == meant, "{}: {} is {}; the other sizes say {}", source, name, said, meant);
  }
  require(latent.kv_rank > 0, "{}: kv_lora_rank is {}; it must be positive", source,
          latent.kv_rank);
  config.attention_bias = optional_json_field<bool>(json, "attention_bias", source).value_or(false);
  set_checked_options(config, source);
}

void write_latent_fields(const ModelConfig& config, Json& json) {
  const LatentConfig& latent = config.latent;
  json["num_key_value_heads"] = config.num_heads;
  json["head_dim"] = latent.rope_dim;
  json["kv_lora_rank"] = latent.kv_rank;
  json["q_lora_rank"] = latent.q_rank > 0 ? Json(latent.q_rank) : Json();
  json["qk_nope_head_dim"] = latent.key_dim;
  json["qk_rope_head_dim"] = latent.rope_dim;
  json["v_head_dim"] = latent.value_dim;
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    if (json.contains(field)) json[field].erase("partial_rotary_factor");
  }
  json["attention_bias"] = config.attention_bias;
}

void read_latent_keys(const GgufFile& file, const std::string& architecture, ModelConfig& config) {
  auto integer = [&](const char* name, int64_t otherwise) {
    return file.metadata.get_optional<int64_t>(architecture + ".attention." + name)
        .value_or(otherwise);
  };
  LatentConfig& latent = config.latent;
  latent.kv_rank = integer("kv_lora_rank", 0);
  require(latent.kv_rank > 0, "{}: {}.attention.kv_lora_rank is {}; it must be positive",
          file.metadata.source(), architecture, latent.kv_rank);
  latent.q_rank = integer("q_lora_rank", 0);
  latent.rope_dim = config.rope.rotary_dim;
  latent.key_dim = integer("key_length_mla", integer("key_length", 0)) - latent.rope_dim;
  latent.value_dim =
      integer("value_length_mla", integer("value_length", config.hidden_size / config.num_heads));
  set_checked_options(config, file.metadata.source());
}

void write_latent_keys(const ModelConfig& config, bool per_head, GgufMetadata& keys) {
  const std::string prefix = keys.get<std::string>("general.architecture") + ".attention.";
  auto count = [&](const std::string& name, int64_t value) {
    keys.set(prefix + name, static_cast<uint32_t>(value));
  };
  const LatentConfig& latent = config.latent;
  count("kv_lora_rank", latent.kv_rank);
  if (latent.q_rank > 0) count("q_lora_rank", latent.q_rank);
  if (per_head) {
    count("head_count_kv", config.num_heads);
  } else {
    count("value_length", latent.kv_rank);
  }
  const std::string end = per_head ? "" : "_mla";
  count("key_length" + end, latent.key_dim + latent.rope_dim);
  count("value_length" + end, latent.value_dim);
}

}  // namespace millrace
