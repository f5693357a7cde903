// The recipes of recipes/ that show an objective, smaller: each learns, and its model opens again.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/train/inputs.h"
#include "millrace/train/trainer.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

struct ObjectiveRecipe {
  std::string name;
  ObjectiveKind kind;
  bool own_shape = true;  ///< its model is no config.json
};

void PrintTo(const ObjectiveRecipe& recipe, std::ostream* out) {
  *out << recipe.name;
}

class ObjectiveRecipes : public testing::TestWithParam<ObjectiveRecipe> {
 protected:
  ObjectiveRecipes() {
    Random random(4);
    std::string text;
    for (int i = 0; i < 60; ++i) {
      const std::string word(3 + random.below(12), static_cast<char>('a' + random.below(6)));
      text += "The word " + word + " is " + word + ".\n---\n";
    }
    folder_.write("train.txt", text);
    folder_.write("heldout.txt", text.substr(0, 600));
  }

  Recipe recipe() const {
    const std::string folder = std::string(MILLRACE_SOURCE_DIR) + "/recipes/";
    std::vector<std::string> overrides = {"data.train=" + (folder_ / "train.txt").string(),
                                          "data.heldout=" + (folder_ / "heldout.txt").string(),
                                          "data.separator=---",
                                          "tokenizer.vocab_size=400",
                                          "data.sequence_length=48",
                                          "data.batch_tokens=480",
                                          "data.micro_batch_tokens=200",
                                          "schedule.steps=24",
                                          "eval.every=12",
                                          "samples.prompts=[]",
                                          "checkpoint.every=12"};
    if (GetParam().own_shape) {
      overrides.insert(overrides.end(), {"model.hidden_size=64", "model.num_layers=2"});
    } else {
      const std::string config = load_recipe(folder + GetParam().name + ".yaml").model.config;
      overrides.push_back("model.config=" + std::string(MILLRACE_SOURCE_DIR) + "/" + config);
    }
    return load_recipe(folder + GetParam().name + ".yaml", overrides);
  }

  ScratchFolder folder_;
};

TEST_P(ObjectiveRecipes, LearnAndGiveAModel) {
  RunFolder run = RunFolder::create(folder_ / "run", recipe());
  const TrainingResult result = train(run);
  EXPECT_TRUE(result.finished);
  EXPECT_LT(result.heldout_loss.value(), 0.5 * std::log(400.0));  // half of what guessing has
  const LanguageModel model = open_language_model(result.model);
  const bool decoder = !model.model->config().has_encoder();
  EXPECT_EQ(model.model->config().prefix_lm, decoder && GetParam().kind == ObjectiveKind::prefix);
  EXPECT_EQ(model.model->config().fills_blanks, GetParam().kind == ObjectiveKind::blank_infilling);
  for (const std::string& token : objective_tokens(GetParam().kind)) {
    EXPECT_TRUE(model.tokenizer.is_special(model.tokenizer.token_id(token))) << token;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ObjectiveRecipes,
    testing::Values(ObjectiveRecipe{"fill-in-the-middle", ObjectiveKind::fill_in_the_middle},
                    ObjectiveRecipe{"prefix-lm", ObjectiveKind::prefix},
                    ObjectiveRecipe{"span-corruption", ObjectiveKind::span_corruption, false},
                    ObjectiveRecipe{"blank-infilling", ObjectiveKind::blank_infilling, false},
                    ObjectiveRecipe{"masked", ObjectiveKind::masked, false}));

}  // namespace
}  // namespace millrace
