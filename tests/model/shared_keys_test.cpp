// Layers that read the keys and values of earlier ones: what a cache holds of them, and gradients
// where blocks are run again.
#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/graph/recording_context.h"
#include "millrace/model/load.h"

namespace millrace {
namespace {

const std::filesystem::path kFamilies =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/families";

TEST(SharedKeys, LayersReadTheLastOfTheirKindAndTakeNoCache) {
  const auto model = load_model(kFamilies / "gemma4");
  const ModelConfig& config = model->config();
  std::vector<int64_t> read, places;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    read.push_back(config.kv_layer(i));
    places.push_back(config.attention_index(i));
  }
  EXPECT_EQ(read, (std::vector<int64_t>{0, 1, 2, 1, 1, 2}));
  EXPECT_EQ(places, read);
  EXPECT_FALSE(config.lends_kv(0));
  EXPECT_TRUE(config.lends_kv(1) && config.lends_kv(2));
  const CacheLayout layout = model->cache_layout();
  ASSERT_EQ(layout.page_begin.size(), 4u);
  EXPECT_EQ(layout.block_bytes(), 2 * page_bytes(config.attention_shape(0), layout.dtype) +
                                      page_bytes(config.attention_shape(2), layout.dtype));
}

TEST(SharedKeys, OfNoEarlierLayerAreRefused) {
  ModelConfig config = load_config(kFamilies / "gemma4");
  config.num_kv_shared_layers = 4;  // then none without a window is before them
  try {
    validate(config, "c");
    FAIL() << "was not refused";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "c: layer 2 shares keys and values, but none before has no window");
  }
}

/// Gradients of all parameters, one after the other.
std::vector<float> gradients(const std::string& golden, bool recompute) {
  const auto model = load_model(kFamilies / golden, {.for_training = true});
  for (Parameter& parameter : model->parameters()) {
    if (!parameter.name.empty()) make_trainable(parameter, model->arithmetic());
  }
  std::vector<int32_t> ids, targets;
  for (int32_t i = 0; i < 70; ++i) ids.push_back((i * i + 3 * i) % 72);
  targets.assign(ids.begin() + 1, ids.end());
  targets.push_back(-1);
  RaggedBatch batch;
  batch.add_sequence(ids);
  TrainingWorkspace workspace;
  RecordingContext context(batch, {.cache_dtype = model->cache_dtype(), .recompute = recompute},
                           workspace);
  std::vector<float> losses(ids.size()), all;
  context.backward(model->family().forward(context, *model), model->head(), targets, 1, losses);
  for (const Parameter& parameter : model->parameters()) {
    if (parameter.name.empty()) continue;
    all.insert(all.end(), parameter.gradient.f32().begin(), parameter.gradient.f32().end());
  }
  return all;
}

TEST(SharedKeys, GradientsAreTheSameWhereBlocksAreRunAgain) {
  for (const char* golden : {"gemma4", "gemma3n"}) {
    SCOPED_TRACE(golden);
    const std::vector<float> expected = gradients(golden, false), got = gradients(golden, true);
    ASSERT_EQ(got.size(), expected.size());
    double norm = 0, distance = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const auto off = static_cast<double>(got[i] - expected[i]);
      norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
      distance += off * off;
    }
    EXPECT_GT(norm, 1);
    EXPECT_LE(distance, 1e-12 * norm);  // sums may be in another order
  }
}

}  // namespace
}  // namespace millrace
