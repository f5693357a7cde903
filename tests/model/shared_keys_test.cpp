// Layers that read the keys and values of earlier ones: what a cache holds of them, and gradients
// where blocks are run again.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/formats/safetensors.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/graph/recording_context.h"
#include "millrace/model/load.h"
#include "tests/scratch.h"

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

/// Final hidden states of some tokens.
Tensor states(const Model& model) {
  RaggedBatch batch;
  batch.add_sequence(std::vector<int32_t>{5, 9, 70, 7, 31});
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  return model.family().forward(context, model).data.clone();
}

TEST(SharedKeys, FilesOfWholeModelsMayHaveThoseThatNoLayerReads) {
  const std::filesystem::path text = kFamilies / "gemma3n";
  const ScratchFolder folder;
  const Json whole = {{"model_type", "gemma3n"},
                      {"text_config", read_json(text / "config.json")},
                      {"audio_config", {{"hidden_size", 8}}}};
  folder.write("config.json", whole.dump());
  const SafetensorsFile file = read_safetensors(text / "model.safetensors");
  auto write = [&](const std::vector<std::string>& more) {
    std::vector<TensorSource> sources;
    const std::string before = "model.language_model.";
    for (const NamedTensor& named : file.tensors) {
      sources.emplace_back(before + named.name.substr(6), named.tensor);
    }
    for (const std::string& name : more) {
      sources.emplace_back(before + name, Tensor(DType::f32, {2}));
    }
    sources.emplace_back("model.audio_tower.x.weight", Tensor(DType::f32, {2}));
    write_safetensors(folder.path() / "model.safetensors", sources, {});
  };
  write({"layers.3.self_attn.k_proj.weight", "layers.5.self_attn.k_norm.weight"});
  const auto model = load_model(folder.path());
  EXPECT_EQ(model->config().part_of, "gemma3n");
  const Tensor got = states(*model), expected = states(*load_model(text));
  EXPECT_TRUE(std::ranges::equal(got.f32(), expected.f32()));
  write({"layers.2.self_attn.v_norm.weight"});
  EXPECT_THROW(load_model(folder.path()), Error);
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
