// MiniMax-M3 (MiniMax 2026), text: M2 with norms of each head, a clamped gate, a shared expert, and
// an indexer that chooses blocks of keys for each key-value head.
#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/model/decoder.h"
#include "millrace/model/expert_fields.h"
#include "millrace/model/fields.h"

namespace millrace {
namespace {

constexpr FieldNames kNames = {.intermediate_size = "dense_intermediate_size",
                               .activation = "",
                               .default_head_dim = 128,
                               .default_rope_theta = 5e6};
constexpr ExpertFieldNames kFields = {.count = "num_local_experts",
                                      .intermediate_size = "intermediate_size",
                                      .normalized = "",
                                      .default_normalized = true};
constexpr const char* kSparse = "minimax_m3_sparse";

/// A field of the indexer by transformers' name and by that in the "sparse_attention_config" of
/// MiniMax' own code.
struct IndexerField {
  const char *name, *own_name;
  int64_t KeySelector::*member;
  int64_t otherwise;
};
constexpr IndexerField kIndexerFields[] = {
    {"index_n_heads", "sparse_num_index_heads", &KeySelector::num_heads, 4},
    {"index_head_dim", "sparse_index_dim", &KeySelector::head_dim, 128},
    {"index_block_size", "sparse_block_size", &KeySelector::block_size, 128},
    {"index_topk_blocks", "sparse_topk_blocks", &KeySelector::count, 16},
    {"index_local_blocks", "sparse_local_block", &KeySelector::local_blocks, 1},
};

/// Whether each layer is of a kind, by "1" in the list of the model's own code or by its name in
/// transformers' list. Empty: neither is there.
std::vector<bool> read_kinds(const Json& own, const char* own_field, const Json& json,
                             const char* field, const char* kind, const char* other,
                             std::string_view source) {
  const bool is_own = own.contains(own_field);
  const auto list = is_own ? own.find(own_field) : json.find(field);
  std::vector<bool> kinds;
  if (!is_own && (list == json.end() || list->is_null())) return kinds;
  const char* name = is_own ? own_field : field;
  require(list->is_array(), "{}: {} must be an array", source, name);
  for (const Json& item : *list) {
    const bool has = is_own ? item == 1 : item == kind;
    require(has || (is_own ? item == 0 : item == other), "{}: {} has {}, which is not supported",
            source, name, quote(item.dump()));
    kinds.push_back(has);
  }
  return kinds;
}

/// What MiniMax' own code could do too, and no published model does: values of the indexer's own,
/// blocks at the beginning that are always seen, scores that are not the best of a block.
void refuse_other_indexers(const Json& own, const std::vector<bool>& sparse,
                           std::string_view source) {
  for (const auto& [field, only] :
       {std::pair("sparse_init_block", Json(0)), std::pair("sparse_score_type", Json("max"))}) {
    require(own.value(field, only) == only, "{}: {} is {}, which is not supported", source, field,
            own.value(field, only).dump());
  }
  const Json disabled = own.value("sparse_disable_index_value", Json::array());
  for (size_t i = 0; i < std::min(sparse.size(), disabled.size()); ++i) {
    require(!sparse[i] || disabled[i] == 1,
            "{}: sparse_disable_index_value says that an indexer has values, which is not "
            "supported",
            source);
  }
}

void read_indexer(const Json& json, std::string_view source, ModelConfig& config) {
  const Json own = json.value("sparse_attention_config", Json::object());
  require(own.is_object(), "{}: sparse_attention_config must be an object", source);
  const std::vector<bool> sparse = read_kinds(own, "sparse_attention_freq", json, "layer_types",
                                              kSparse, "full_attention", source);
  IndexerConfig& indexer = config.indexer;
  if (std::ranges::count(sparse, true) == 0) return;
  refuse_other_indexers(own, sparse, source);
  for (const IndexerField& field : kIndexerFields) {
    const bool is_own = own.contains(field.own_name);
    indexer.selector.*field.member =
        optional_json_field<int64_t>(is_own ? own : json, is_own ? field.own_name : field.name,
                                     source)
            .value_or(field.otherwise);
  }
  indexer.selector.heads_choose = true;
  indexer.norm_eps = config.norm_eps;
  for (const bool has : sparse) {
    indexer.layers.push_back(has ? IndexerKind::own : IndexerKind::none);
  }
}

ModelConfig read_config(const Json& json, std::string_view source) {
  ModelConfig config = read_common_fields(json, source, kNames);
  config.model_type = "minimax_m3_vl_text";
  const auto activation = optional_json_field<std::string>(json, "hidden_act", source);
  require(!activation || *activation == "silu" || *activation == "swigluoai",
          "{}: hidden_act must be swigluoai", source);
  read_expert_fields(json, source, kFields, config);
  ExpertsConfig& experts = config.experts;
  experts.layers =
      read_kinds(json, "moe_layer_freq", json, "mlp_layer_types", "sparse", "dense", source);
  experts.routing.score = RouterScore::sigmoid;
  experts.routing.scale =
      optional_json_field<float>(json, "routed_scaling_factor", source).value_or(2);
  experts.shared_intermediate_size =
      optional_json_field<int64_t>(json, "shared_intermediate_size", source).value_or(3072);
  const ClampedGlu glu;
  config.clamped_glu = {
      optional_json_field<float>(json, "swiglu_alpha", source).value_or(glu.alpha),
      optional_json_field<float>(json, "swiglu_limit", source).value_or(glu.limit)};
  read_indexer(json, source, config);
  return config;
}

Json write_config(const ModelConfig& config) {
  Json json = write_common_fields(config, "MiniMaxM3VLForCausalLM", kNames);
  json["hidden_act"] = "silu";
  json["rotary_dim"] = config.rope.rotary_dim;
  write_expert_fields(config, kFields, json);
  write_mlp_types(config, json);
  json["routed_scaling_factor"] = config.experts.routing.scale;
  json["shared_intermediate_size"] = config.experts.shared_intermediate_size;
  json["swiglu_alpha"] = config.clamped_glu->alpha;
  json["swiglu_limit"] = config.clamped_glu->limit;
  if (config.num_indexers() == 0) return json;
  for (const IndexerField& field : kIndexerFields) {
    json[field.name] = config.indexer.selector.*field.member;
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const bool sparse = config.indexer_of(i) == IndexerKind::own;
    json["layer_types"].push_back(sparse ? kSparse : "full_attention");
  }
  return json;
}

TensorSpecs tensors(const ModelConfig& config) {
  return decoder_tensors(config,
                         {.q_norm = "self_attn.q_norm",
                          .k_norm = "self_attn.k_norm",
                          .experts = {.router = "block_sparse_moe.gate",
                                      .selection_bias = "block_sparse_moe.e_score_correction_bias",
                                      .expert = "block_sparse_moe.experts.{}.",
                                      .parts = {"w1", "w3", "w2"},
                                      .shared = "block_sparse_moe.shared_experts."},
                          .norm_offset = 1});
}

}  // namespace

extern const Family kMiniMaxM3;
const Family kMiniMaxM3 = {{"minimax_m3_vl_text", "minimax_m3"},
                           {},
                           read_config,
                           write_config,
                           nullptr,
                           nullptr,
                           tensors,
                           decoder_forward,
                           decoder_head};

}  // namespace millrace
