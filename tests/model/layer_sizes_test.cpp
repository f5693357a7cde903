// Models whose layers have different sizes: tensors, memory of the cache, refusals.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

ModelConfig uneven() {
  return tiny_model(DType::f32, 64, "llama-uneven")->config();
}

std::string refusal(const ModelConfig& config) {
  try {
    validate(config, "c");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(LayerSizes, TensorsAndPagesAreThoseOfTheirLayer) {
  auto model = tiny_model(DType::f32, 64, "llama-uneven");
  const auto shape = [&](int layer, const char* name) {
    return model->find(fmt::format("model.layers.{}.{}.weight", layer, name))->shape;
  };
  EXPECT_EQ(shape(0, "self_attn.q_proj"), (Shape{4 * 16, 64}));
  EXPECT_EQ(shape(1, "self_attn.q_proj"), (Shape{6 * 32, 64}));
  EXPECT_EQ(shape(1, "self_attn.k_proj"), (Shape{1 * 32, 64}));
  EXPECT_EQ(shape(0, "mlp.down_proj"), (Shape{64, 64}));
  EXPECT_EQ(shape(1, "mlp.down_proj"), (Shape{64, 128}));
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    if (model->parameters()[i].name.empty()) continue;
    EXPECT_EQ(model->spec(i).shape, model->parameters()[i].shape) << model->parameters()[i].name;
  }
  const size_t first = page_bytes(model->config().attention_shape(0), DType::f32);
  const size_t second = page_bytes(model->config().attention_shape(1), DType::f32);
  EXPECT_EQ(model->cache_layout().page_begin, (std::vector<size_t>{0, first, first + second}));
}

TEST(LayerSizes, AreCheckedLayerByLayer) {
  ModelConfig config = uneven();
  EXPECT_EQ(refusal(config), "");
  config.layer_sizes[1].num_kv_heads = 4;
  EXPECT_NE(refusal(config).find("num_key_value_heads"), std::string::npos);
  config = uneven();
  config.layer_sizes[1].head_dim = 8;  // rope turns more
  EXPECT_NE(refusal(config).find("rope turns 16"), std::string::npos);
  config = uneven();
  config.layer_sizes.pop_back();
  EXPECT_NE(refusal(config).find("there are 2"), std::string::npos);
}

}  // namespace
}  // namespace millrace
