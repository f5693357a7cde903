// Configurations of Gemma 4: the sizes of layers without a window as published, and as transformers
// writes them.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/model/load.h"

namespace millrace {
namespace {

Json twelve_layers() {
  return Json::parse(R"({"model_type": "gemma4_text", "vocab_size": 72, "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 12, "num_attention_heads": 4,
      "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 256,
      "attention_k_eq_v": true, "hidden_size_per_layer_input": 0})");
}

std::string refusal(const Json& json) {
  try {
    parse_config(json.dump(), "c");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Gemma4Config, HeadsOfLayersWithoutAWindowAreSaidInTwoWays) {
  Json published = twelve_layers(), written = twelve_layers();
  published["global_head_dim"] = 16;
  published["num_global_key_value_heads"] = 1;
  for (const char* layer : {"05", "11"}) {  // every sixth
    written["per_layer_config"][layer] = {{"head_dim", 16}, {"num_key_value_heads", 1}};
  }
  const ModelConfig config = parse_config(published.dump(), "c");
  EXPECT_EQ(config.layer_sizes, parse_config(written.dump(), "c").layer_sizes);
  EXPECT_EQ(config.sizes(4), (LayerSizes{4, 2, 12, 48}));
  EXPECT_EQ(config.sizes(5), (LayerSizes{4, 1, 16, 48}));
  EXPECT_EQ(config.sliding_window, 512);
  EXPECT_TRUE(config.is_windowed(10) && !config.is_windowed(11));
  EXPECT_EQ(config.rope_of(5).rotary_dim, 16);
  EXPECT_EQ(config.rope_of(5).proportion, 0.25);
  EXPECT_EQ(config.rope_of(4).rotary_dim, 12);
}

TEST(Gemma4Config, RefusesWhatItDoesNotDo) {
  Json json = twelve_layers();
  json["per_layer_config"] = {{"05", {{"head_dim", 16}}}};
  EXPECT_NE(refusal(json).find("layer 5 what it does not of others"), std::string::npos);
  json["per_layer_config"] = {{"11", {{"hidden_size", 16}}}};
  EXPECT_NE(refusal(json).find("hidden_size"), std::string::npos);
  json["per_layer_config"] = {{"12", {{"head_dim", 16}}}};
  EXPECT_NE(refusal(json).find("there are 12"), std::string::npos);
  json = twelve_layers();
  json["use_bidirectional_attention"] = "vision";
  EXPECT_EQ(refusal(json), "");
  json["use_bidirectional_attention"] = "all";
  EXPECT_NE(refusal(json).find("use_bidirectional_attention"), std::string::npos);
}

}  // namespace
}  // namespace millrace
