#include "millrace/train/gradients.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/model/load.h"
#include "millrace/train/heldout.h"

namespace millrace {
namespace {

std::unique_ptr<Model> tiny_model(DType dtype) {
  ModelConfig config;
  config.model_type = "llama";
  config.vocab_size = 50;
  config.hidden_size = 32;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.rope.rotary_dim = 8;
  config.intermediate_size = 64;
  config.max_position_embeddings = 64;
  config.tie_word_embeddings = true;
  config.dtype = dtype;
  return initialized_model(config, 3);
}

/// Documents of 2 to 40 tokens, a third of them not scored.
TokenDataset some_documents() {
  Random random(9);
  std::vector<Document> documents(12);
  for (Document& document : documents) {
    for (uint64_t i = 2 + random.below(39); i > 0; --i) {
      document.tokens.push_back(static_cast<int32_t>(random.below(50)));
      document.scored.push_back(random.below(3) > 0);
    }
  }
  return TokenDataset(documents);
}

using Gradients = std::map<std::string, std::vector<float>>;

Gradients gradients_of(Model& model) {
  Gradients gradients;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.name.empty()) continue;
    std::span<float> values = parameter.gradient.f32();
    gradients[parameter.name] = {values.begin(), values.end()};
  }
  return gradients;
}

class StepGradients : public testing::TestWithParam<DType> {
 protected:
  StepGradients() { train_all_weights(*model_); }

  LossSum run(int64_t micro_batch_tokens, Gradients& gradients) {
    for (Parameter& parameter : model_->parameters()) {
      if (!parameter.name.empty()) make_trainable(parameter, model_->arithmetic());
    }
    TrainingWorkspace workspace;
    LossSum loss = accumulate_gradients(*model_, nullptr, dataset_, pieces_,
                                        {micro_batch_tokens, false}, workspace);
    gradients = gradients_of(*model_);
    return loss;
  }

  std::unique_ptr<Model> model_ = tiny_model(GetParam());
  TokenDataset dataset_ = some_documents();
  std::vector<Piece> pieces_ = make_pieces(dataset_, 16, LongDocuments::cut);
};

TEST_P(StepGradients, DoNotDependOnHowTheStepIsCut) {
  Gradients whole;
  LossSum loss = run(10000, whole);
  EXPECT_EQ(loss.tokens, count_scored(dataset_, pieces_));
  for (int64_t micro_batch_tokens : {100, 33, 1}) {
    Gradients parts;
    LossSum part_loss = run(micro_batch_tokens, parts);
    EXPECT_EQ(part_loss.nll, loss.nll) << micro_batch_tokens;
    EXPECT_EQ(part_loss.tokens, loss.tokens);
    for (const auto& [name, values] : whole) {
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(parts[name][i], values[i], 1e-6 + 1e-3 * std::abs(values[i])) << name;
      }
    }
  }
}

TEST_P(StepGradients, AreTheSameBitsAtAnyNumberOfThreads) {
  int before = num_threads();
  Gradients one, three;
  set_num_threads(1);
  LossSum loss = run(100, one);
  set_num_threads(3);
  EXPECT_EQ(run(100, three).nll, loss.nll);
  set_num_threads(before);
  EXPECT_EQ(one, three);
}

TEST_P(StepGradients, TheLossIsThatOfHeldOutEvaluationToTheBit) {
  Gradients ignored;
  LossSum loss = run(100, ignored);
  Workspace workspace;
  for (int64_t batch_tokens : {1, 50, 10000}) {
    HeldoutLoss heldout =
        heldout_loss(*model_, nullptr, dataset_, pieces_, batch_tokens, {}, workspace);
    EXPECT_EQ(heldout.loss.nll, loss.nll) << batch_tokens;
    EXPECT_EQ(heldout.loss.tokens, loss.tokens);
  }
}

TEST_P(StepGradients, AStepWithNothingToScoreIsNoOp) {
  dataset_ = TokenDataset(std::vector<Document>{{{1, 2, 3}, {1, 0, 0}}});
  pieces_ = {{0, 0, 2}};
  Gradients gradients;
  LossSum loss = run(100, gradients);
  EXPECT_EQ(loss.tokens, 0);
  EXPECT_EQ(loss.mean(), 0);
  for (const auto& [name, values] : gradients) {
    for (float value : values) ASSERT_EQ(value, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StepGradients, testing::Values(DType::f32, DType::bf16),
                         [](const auto& parameter) {
                           return std::string(millrace::info(parameter.param).name);
                         });

TEST(Heldout, BytesAndCharactersAreThoseOfTheScoredTokens) {
  auto model = tiny_model(DType::f32);
  train_all_weights(*model);
  TokenDataset dataset(std::vector<Document>{{{0, 1, 2, 3}, {1, 1, 0, 1}}});
  TokenLengths lengths{{100, 3, 50, 4}, {100, 1, 50, 2}};
  Workspace workspace;
  HeldoutLoss loss = heldout_loss(*model, nullptr, dataset, std::vector<Piece>{{0, 0, 3}}, 100,
                                  lengths, workspace);
  EXPECT_EQ(loss.bytes, 7);
  EXPECT_EQ(loss.characters, 3);
  EXPECT_DOUBLE_EQ(loss.bits_per_byte(), loss.loss.nll / std::log(2.0) / 7);
  EXPECT_DOUBLE_EQ(loss.bits_per_character(), loss.loss.nll / std::log(2.0) / 3);
  EXPECT_EQ(HeldoutLoss{}.bits_per_byte(), 0);
}

TEST(Heldout, AnEvaluationMayBeShortened) {
  std::vector<Piece> pieces = {{0, 0, 5}, {1, 0, 5}, {2, 0, 5}};
  EXPECT_EQ(first_pieces(pieces, 0).size(), 3u);
  EXPECT_EQ(first_pieces(pieces, 6).size(), 2u);
  EXPECT_EQ(first_pieces(pieces, 100).size(), 3u);
}

TEST(AdapterTraining, LearnsAndLeavesTheModelAsItWas) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    LoadOptions load;
    load.dtype = dtype;
    auto model =
        load_model(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/models/llama", load);
    const PackedMatrix& packed = model->find("model.layers.0.mlp.up_proj.weight")->packed;
    const auto* bytes = reinterpret_cast<const char*>(packed.bytes->data());
    const std::string before(bytes, packed.bytes->size());
    Adapter adapter(*model, 4, 8, {}, 1);
    OptimizerRecipe recipe;
    recipe.lr = 0.01;
    Optimizer optimizer(recipe, train_adapter_only(*model, adapter), model->arithmetic());
    TokenDataset dataset = some_documents();
    std::vector<Piece> pieces = make_pieces(dataset, 64, LongDocuments::cut);
    TrainingWorkspace workspace;
    std::vector<double> losses;
    for (int step = 0; step < 30; ++step) {
      losses.push_back(
          accumulate_gradients(*model, &adapter.map(), dataset, pieces, {}, workspace).mean());
      optimizer.step(1);
    }
    EXPECT_LT(losses.back(), losses.front() - 2);
    EXPECT_EQ(std::string(bytes, packed.bytes->size()), before);
  }
}

// Of a table that is no matrix, as biases by distance and the weights of a convolution are.
TEST(Steps, ReachEveryNumberOfATable) {
  Parameter table;
  table.name = "table";
  table.shape = {3, 4};
  table.is_table = true;
  table.value = Tensor(DType::f32, table.shape);
  make_trainable(table, Arithmetic::f32);
  for (float& x : table.gradient.f32()) x = 1;
  Optimizer optimizer({.lr = 0.1}, {{&table, true}}, Arithmetic::f32);
  optimizer.step(1);
  for (float x : table.value.f32()) EXPECT_NEAR(x, -0.1f, 1e-4f);
  for (float x : table.gradient.f32()) EXPECT_EQ(x, 0);
}

}  // namespace
}  // namespace millrace
