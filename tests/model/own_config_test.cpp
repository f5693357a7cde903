// Configurations as the code of those who published the models has them, where transformers' class
// has others.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/model/family.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Of 4 layers and one that predicts further ahead.
Json published_config() {
  return Json::parse(R"({
    "architectures": ["Step3p5ForCausalLM"], "model_type": "step3p5", "vocab_size": 64,
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_attention_groups": 2, "head_dim": 8, "max_position_embeddings": 256,
    "moe_num_experts": 6, "moe_top_k": 2, "moe_intermediate_size": 20, "share_expert_dim": 24,
    "moe_layers_enum": "1, 3,4", "moe_router_scaling_factor": 3.0, "num_nextn_predict_layers": 1,
    "sliding_window": 16,
    "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention",
                    "sliding_attention"],
    "attention_other_setting": {"attention_type": "sliding_attention", "num_attention_heads": 6},
    "rope_theta": [5000, 100, 100, 5000, 100],
    "partial_rotary_factors": [0.5, 1.0, 1.0, 0.5, 1.0],
    "rope_scaling": {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 32.0, "original_max_position_embeddings": 128},
    "swiglu_limits": [0.0, 0.0, 0.0, 7.0, 7.0], "swiglu_limits_shared": [0.0, 0.0, 0.0, 16.0, 16.0]
  })");
}

ModelConfig config_of(const Json& json) {
  return family_of_config(json, "test").read_config(json, "test");
}

TEST(StepConfig, IsReadAsPublished) {
  const ModelConfig config = config_of(published_config());
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.num_extra_layers, 1);
  EXPECT_EQ(config.experts.routing.num_experts, 6);
  EXPECT_EQ(config.experts.routing.top_k, 2);
  EXPECT_EQ(config.experts.routing.scale, 3);
  EXPECT_EQ(config.experts.layers, (std::vector<bool>{false, true, false, true}));
  for (int64_t i = 0; i < 4; ++i) {
    const bool windowed = i == 1 || i == 2;
    EXPECT_EQ(config.is_windowed(i), windowed);
    EXPECT_EQ(config.sizes(i).num_heads, windowed ? 6 : 4);
    EXPECT_EQ(config.rope_of(i).theta, windowed ? 100 : 5000);
    EXPECT_EQ(config.rope_of(i).rotary_dim, windowed ? 8 : 4);
    EXPECT_EQ(config.rope_of(i).scaling, windowed ? RopeScaling::none : RopeScaling::llama3);
    EXPECT_EQ(config.glu_of(i, true).has_value(), i == 3);
  }
  EXPECT_EQ(config.glu_of(3, true)->limit, 7);
  EXPECT_EQ(config.glu_of(3, false)->limit, 16);
}

TEST(StepConfig, IsTheSameWhenWritten) {
  const ModelConfig config = config_of(published_config());
  const Family& family = family_of_model_type("step3p5", "test");
  const ModelConfig again = config_of(family.write_config(config));
  EXPECT_EQ(again.layer_sizes, config.layer_sizes);
  EXPECT_EQ(again.experts.layers, config.experts.layers);
  EXPECT_EQ(again.expert_limits, config.expert_limits);
  EXPECT_EQ(again.mlp_limits, config.mlp_limits);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(again.rope_of(i).theta, config.rope_of(i).theta);
}

/// Of 3 layers, the first without experts and indexer.
Json minimax_m3_config() {
  return Json::parse(R"({
    "model_type": "minimax_m3_vl_text", "vocab_size": 64, "hidden_size": 32,
    "dense_intermediate_size": 48, "intermediate_size": 20, "shared_intermediate_size": 24,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "rotary_dim": 4, "hidden_act": "swigluoai", "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6, "rope_theta": 5000000, "num_local_experts": 6, "num_experts_per_tok": 2,
    "moe_layer_freq": [0, 1, 1], "routed_scaling_factor": 2.0,
    "sparse_attention_config": {
      "use_sparse_attention": true, "sparse_index_dim": 8, "sparse_num_index_heads": 2,
      "sparse_topk_blocks": 4, "sparse_block_size": 16, "sparse_score_type": "max",
      "sparse_init_block": 0, "sparse_local_block": 1, "sparse_attention_freq": [0, 1, 1],
      "sparse_disable_index_value": [0, 1, 1]}
  })");
}

TEST(MiniMaxM3Config, IsReadAsPublished) {
  const ModelConfig config = config_of(minimax_m3_config());
  EXPECT_EQ(config.rope.rotary_dim, 4);
  EXPECT_EQ(config.intermediate_size, 48);
  EXPECT_EQ(config.experts.intermediate_size, 20);
  EXPECT_EQ(config.experts.layers, (std::vector<bool>{false, true, true}));
  const KeySelector& selector = config.indexer.selector;
  EXPECT_EQ(selector.num_heads, 2);
  EXPECT_EQ(selector.head_dim, 8);
  EXPECT_EQ(selector.count, 4);
  EXPECT_EQ(selector.block_size, 16);
  EXPECT_EQ(selector.local_blocks, 1);
  EXPECT_EQ(config.indexer_of(0), IndexerKind::none);
  EXPECT_EQ(config.indexer_of(2), IndexerKind::own);
}

TEST(MiniMaxM3Config, RefusesIndexersThatNoPublishedModelHas) {
  for (const auto& [field, value] :
       std::map<std::string, Json>{{"sparse_init_block", 1},
                                   {"sparse_score_type", "mean"},
                                   {"sparse_disable_index_value", {0, 1, 0}},
                                   {"sparse_attention_freq", {0, 2, 1}},
                                   {"sparse_num_index_heads", 3}}) {
    Json json = minimax_m3_config();
    json["sparse_attention_config"][field] = value;
    EXPECT_THROW(validate(config_of(json), "test"), Error) << field;
  }
}

TEST(DeepSeekV32Config, SaysHowRopePairsAnIndexersValues) {
  const fs::path goldens = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families";
  for (const auto& [name, otherwise] : {std::pair("deepseek_v32", RopePairing::half_split),
                                        std::pair("glm_moe_dsa", RopePairing::interleaved)}) {
    Json json = read_json(goldens / name / "config.json");
    EXPECT_EQ(config_of(json).indexer.rope_pairing, otherwise);
    json["indexer_rope_interleave"] = true;
    EXPECT_EQ(config_of(json).indexer.rope_pairing, RopePairing::interleaved);
    json["indexer_rope_interleave"] = false;
    EXPECT_EQ(config_of(json).indexer.rope_pairing, RopePairing::half_split);
  }
}

TEST(StepConfig, RefusesWhatMakesNoSense) {
  for (const auto& [field, value] : std::map<std::string, Json>{
           {"moe_layers_enum", "1;2"},
           {"swiglu_limits", {1.0, 2.0}},
           {"swiglu_limits", {-1.0, 2.0, 3.0, 4.0}},
           {"num_hidden_layers", -1},
           {"layer_types", {1, 2, 3, 4}},
           {"rope_theta", {"a", "b", "c", "d"}},
           {"attention_other_setting", {{"num_attention_heads", "many"}}}}) {
    Json json = published_config();
    json[field] = value;
    EXPECT_THROW(config_of(json), Error) << field;
  }
}

}  // namespace
}  // namespace millrace
