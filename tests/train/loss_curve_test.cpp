// Thirty optimiser steps against PyTorch's (tools/make_train_goldens.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/model/load.h"
#include "millrace/train/gradients.h"
#include "millrace/train/muon.h"
#include "millrace/train/optimizer.h"
#include "millrace/train/schedule.h"

namespace millrace {
namespace {

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden" / name;
}

struct Curve {
  std::vector<double> losses, norms;
};

TokenDataset documents_of(const Json& json) {
  std::vector<Document> documents;
  for (size_t i = 0; i < json["documents"].size(); ++i) {
    documents.push_back({json["documents"][i].get<std::vector<int32_t>>(),
                         json["scored"][i].get<std::vector<uint8_t>>()});
  }
  return TokenDataset(documents);
}

/// The golden's run in our own engine.
Curve run(const Json& json, DType dtype, int64_t micro_batch_tokens, bool recompute = false) {
  LoadOptions load;
  load.for_training = true;
  load.dtype = dtype;
  auto model = load_model(golden("models/" + json["model"].get<std::string>()), load);
  OptimizerRecipe recipe;
  recipe.name = json["optimizer"];
  recipe.lr = json["lr"];
  recipe.matrix_lr = json["matrix_lr"];
  recipe.betas = json["betas"].get<std::vector<double>>();
  recipe.eps = json["eps"];
  recipe.momentum = json["momentum"];
  recipe.weight_decay = json["weight_decay"];
  recipe.clip = json["clip"];
  ScheduleRecipe schedule{json["schedule"], static_cast<int64_t>(json["steps"].size()),
                          json["warmup_steps"], json["decay_fraction"], json["min_lr_ratio"]};
  Optimizer optimizer(recipe, train_all_weights(*model), model->arithmetic());
  TokenDataset dataset = documents_of(json);
  TrainingWorkspace workspace;
  Curve curve;
  for (const Json& step : json["steps"]) {
    std::vector<Piece> pieces;
    for (int64_t document : step.get<std::vector<int64_t>>()) {
      pieces.push_back({document, 0, static_cast<int64_t>(dataset.tokens(document).size()) - 1});
    }
    LossSum loss = accumulate_gradients(*model, nullptr, dataset, pieces,
                                        {micro_batch_tokens, recompute}, workspace);
    curve.losses.push_back(loss.mean());
    auto index = static_cast<int64_t>(curve.norms.size());
    curve.norms.push_back(optimizer.step(lr_factor(schedule, index)));
  }
  return curve;
}

void expect_near(const Curve& curve, const Json& json, double tolerance) {
  for (size_t i = 0; i < curve.losses.size(); ++i) {
    double loss = json["losses"][i], norm = json["norms"][i];
    EXPECT_NEAR(curve.losses[i], loss, tolerance) << "step " << i;
    EXPECT_NEAR(curve.norms[i], norm, 10 * tolerance * (1 + norm)) << "step " << i;
  }
}

class LossCurve : public testing::TestWithParam<const char*> {
 protected:
  Json json_ = read_json(golden(std::string("train/") + GetParam() + ".json"));
};

TEST_P(LossCurve, FollowsPyTorchInF32) {
  expect_near(run(json_, DType::f32, 1000), json_, 1e-4);
}

TEST_P(LossCurve, FollowsPyTorchInMicroBatchesWithRecomputation) {
  expect_near(run(json_, DType::f32, 60, true), json_, 1e-4);
}

TEST_P(LossCurve, StaysNearInBf16) {
  expect_near(run(json_, DType::bf16, 1000), json_, 0.15);
}

INSTANTIATE_TEST_SUITE_P(Golden, LossCurve,
                         testing::Values("llama-adamw", "llama-tied-adamw", "llama-muon",
                                         "gpt2-adamw"));

TEST(Muon, TwoStepsEqualPyTorchs) {
  for (const Json& json : read_json(golden("train/muon.json"))) {
    Shape shape{json["shape"][0].get<int64_t>(), json["shape"][1].get<int64_t>()};
    Tensor param = Tensor::from(shape, json["start"].get<std::vector<float>>());
    Tensor buffer(DType::f32, shape);
    Muon options;
    options.learning_rate = json["lr"];
    options.weight_decay = json["weight_decay"];
    options.arithmetic = Arithmetic::f32;
    for (const Json& grad : json["grads"]) {
      muon_step(options, Tensor::from(shape, grad.get<std::vector<float>>()), param, buffer);
    }
    auto end = json["end"].get<std::vector<float>>();
    for (size_t i = 0; i < end.size(); ++i) {
      EXPECT_NEAR(param.f32()[i], end[i], 1e-5) << shape.text() << " at " << i;
    }
  }
}

TEST(Muon, ZeroStaysZero) {
  Tensor zero(DType::f32, {3, 5});
  orthogonalize(zero, Arithmetic::f32);
  for (float value : zero.f32()) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace millrace
