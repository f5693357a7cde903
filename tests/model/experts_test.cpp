// Models of experts: those that are not chosen are not read, quantised files hold and run them,
// adapters of each sequence reach them.
#include "millrace/model/experts.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "millrace/graph/evaluating_context.h"
#include "millrace/graph/recording_context.h"
#include "millrace/model/adapter.h"
#include "millrace/model/load.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kFamilies = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families";

using Ids = std::vector<int32_t>;

/// Logits of the last token of each sequence.
Tensor last_logits(const Model& model, const std::vector<Ids>& sequences,
                   std::span<const LowRankMap* const> adapters = {}) {
  RaggedBatch batch;
  std::vector<int64_t> rows;
  for (const Ids& ids : sequences) {
    batch.add_sequence(ids);
    rows.push_back(batch.num_tokens() - 1);
  }
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  if (!adapters.empty()) context.set_adapters(adapters);
  return logits(context, model, rows).data.clone();
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.f32(), b.f32());
}

/// A model of six experts of which a token goes to two, wide enough for blocks of 32.
std::unique_ptr<Model> six_experts() {
  ModelConfig config;
  config.model_type = "mixtral";
  config.vocab_size = 70;
  config.hidden_size = config.intermediate_size = 64;
  config.num_layers = 2;
  config.num_heads = config.num_kv_heads = 4;
  config.head_dim = config.rope.rotary_dim = 16;
  config.max_position_embeddings = 256;
  config.dtype = DType::f32;
  config.initializer_range = 0.2f;
  config.experts.intermediate_size = 64;
  config.experts.routing.num_experts = 6;
  config.experts.routing.top_k = 2;
  config.experts.routing.normalized = true;
  return initialized_model(config, 3);
}

Ids some_ids(int32_t seed, int32_t count) {
  Ids ids;
  for (int32_t i = 0; i < count; ++i) ids.push_back((seed * 31 + i * i * 7 + i * 3) % 70);
  return ids;
}

/// "model.layers.0.block_sparse_moe.experts.3." of an expert's tensor; empty of another's.
std::string expert_of(const std::string& name) {
  const size_t at = name.find(".experts.");
  return at == std::string::npos ? "" : name.substr(0, name.find('.', at + 9) + 1);
}

/// Memory that must not be read.
std::shared_ptr<Storage> unreadable(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(memory != MAP_FAILED, "no memory");
  std::shared_ptr<void> owner(memory, [bytes](void* m) { ::munmap(m, bytes); });
  return Storage::borrow({static_cast<const std::byte*>(memory), bytes}, owner);
}

TEST(Experts, ThoseThatNoTokenChoosesAreNotRead) {
  const ScratchFolder scratch;
  save_model(*six_experts(), scratch.path());
  auto model = load_model(scratch.path());
  const std::vector<Ids> one_token = {{5}};
  const Tensor expected = last_logits(*model, one_token);
  std::set<std::string> all, read;
  for (Parameter& parameter : model->parameters()) {
    const std::string expert = expert_of(parameter.name);
    if (expert.empty()) continue;
    all.insert(expert);
    const PackedMatrix kept = parameter.packed;
    parameter.packed.bytes = Storage::allocate(kept.bytes->size());
    std::memset(parameter.packed.bytes->data(), 0xff, kept.bytes->size());  // NaNs
    if (!same_bits(last_logits(*model, one_token), expected)) read.insert(expert);
    parameter.packed = kept;
  }
  EXPECT_EQ(all.size(), 12u);
  EXPECT_EQ(read.size(), 4u);  // two in each layer
  for (Parameter& parameter : model->parameters()) {
    const std::string expert = expert_of(parameter.name);
    if (expert.empty() || read.count(expert) > 0) continue;
    parameter.packed.bytes = unreadable(parameter.packed.bytes->size());
  }
  EXPECT_TRUE(same_bits(last_logits(*model, one_token), expected));
}

TEST(Experts, QuantisedFilesRunAndDoNotDependOnCompany) {
  const ScratchFolder scratch;
  auto model = six_experts();
  const Tensor exact = last_logits(*model, {some_ids(1, 40)});
  GgufMetadata extra;
  extra.set("tokenizer.ggml.model", std::string("no_vocab"));
  for (const auto& [name, dtype, tolerance] :
       {std::tuple("Q8_0", DType::q8_0, 0.15f), std::tuple("Q4_0", DType::q4_0, 0.6f)}) {
    const fs::path path = scratch / (std::string(name) + ".gguf");
    save_gguf(*model, path, quantization_from_name(name), extra);
    auto loaded = load_model(path);
    for (const Parameter& parameter : loaded->parameters()) {
      if (!expert_of(parameter.name).empty()) {
        EXPECT_EQ(parameter.packed.type, dtype);
      } else if (parameter.name.ends_with("gate.weight")) {
        EXPECT_EQ(parameter.packed.type, DType::f32);
      }
    }
    const Tensor alone = last_logits(*loaded, {some_ids(1, 40)});
    double square = 0, error = 0;
    for (size_t i = 0; i < alone.f32().size(); ++i) {
      square += std::pow(exact.f32()[i], 2);
      error += std::pow(alone.f32()[i] - exact.f32()[i], 2);
    }
    EXPECT_LE(std::sqrt(error / square), tolerance) << name;
    const Tensor together =
        last_logits(*loaded, {some_ids(2, 9), some_ids(1, 40), some_ids(3, 70)});
    EXPECT_TRUE(same_bits(together.rows(1, 2), alone)) << name;
  }
}

TEST(Experts, AdaptersOfEachSequenceReachThem) {
  auto model = six_experts();
  Adapter first(*model, 2, 4, {"w1", "w2", "gate"}, 7), second(*model, 2, 4, {"w3"}, 8);
  for (Adapter* adapter : {&first, &second}) {
    for (Parameter& parameter : adapter->parameters()) {  // B begins with zeros
      for (size_t i = 0; i < parameter.value.f32().size(); ++i) {
        parameter.value.f32()[i] += 0.02f * static_cast<float>(i % 7) - 0.05f;
      }
    }
  }
  const std::vector<Ids> sequences = {some_ids(1, 30), some_ids(2, 20), some_ids(3, 10)};
  const std::vector<const LowRankMap*> adapters = {&first.map(), nullptr, &second.map()};
  const Tensor together = last_logits(*model, sequences, adapters);
  for (size_t i = 0; i < 3; ++i) {
    const Tensor alone =
        last_logits(*model, {sequences[i]}, std::span<const LowRankMap* const>(&adapters[i], 1));
    const auto row = static_cast<int64_t>(i);
    EXPECT_TRUE(same_bits(together.rows(row, row + 1), alone)) << i;
    EXPECT_EQ(same_bits(last_logits(*model, {sequences[i]}), alone), adapters[i] == nullptr);
  }
}

TEST(Experts, LossesOfRoutersAreAddedToTheGradients) {
  // The gradient of loss + c · balance + d · z, less that of the loss, is that of the two alone:
  // against differences of RouterUse's values.
  auto model = six_experts();
  const Ids ids = some_ids(4, 50);
  Parameter* router = nullptr;
  for (Parameter& parameter : model->parameters()) {
    if (parameter.name == "model.layers.1.block_sparse_moe.gate.weight") router = &parameter;
  }
  ASSERT_NE(router, nullptr);
  auto run = [&](RouterLosses losses, bool recompute) {
    make_trainable(*router, Arithmetic::f32);
    RaggedBatch batch;
    batch.add_sequence(ids);
    TrainingWorkspace workspace;
    RecordingContext context(batch, {DType::f32, recompute, losses}, workspace);
    const Value hidden = model->family().forward(context, *model);
    const Ids targets = some_ids(5, 50);
    std::vector<float> each(50);
    context.backward(hidden, model->head(), targets, 1.0f / 50, each);
    return std::pair(router->gradient.clone(), context.router_use());
  };
  const RouterLosses losses{0.5f, 0.25f};
  const Tensor without = run({}, false).first, with = run(losses, false).first;
  EXPECT_TRUE(same_bits(run(losses, true).first, with));
  auto value = [&] {
    const RouterUse use = run(losses, false).second;
    return 0.5 * use.balance_loss() + 0.25 * use.z_loss();
  };
  for (size_t i : {0u, 77u, 200u, 383u}) {
    float& x = router->value.f32()[i];
    const float before = x;
    x = before + 2e-3f;
    const double above = value();
    x = before - 2e-3f;
    const double below = value();
    x = before;
    EXPECT_NEAR(with.f32()[i] - without.f32()[i], (above - below) / 4e-3, 2e-3) << i;
  }
}

}  // namespace
}  // namespace millrace
