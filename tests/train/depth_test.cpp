#include "millrace/train/depth.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace {
namespace {

class Depth : public testing::Test {
 protected:
  Depth() { std::filesystem::create_directories(folder_); }
  ~Depth() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path corpus(size_t bytes) {
    write_file(folder_ / "corpus.txt", std::string(bytes, 'a'));
    return folder_ / "corpus.txt";
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("millrace_depth_" + std::to_string(::getpid()));
};

TEST_F(Depth, EveryDepthGivesAValidRecipe) {
  std::filesystem::path file = corpus(3'000'000);
  for (int64_t depth : {1, 2, 4, 6, 12, 64}) {
    Recipe recipe = depth_recipe(depth, file);
    EXPECT_EQ(recipe.model.hidden_size, 64 * depth);
    EXPECT_EQ(parse_recipe(to_yaml(recipe), "dial"), recipe);
    double tokens = static_cast<double>(recipe.schedule.steps * recipe.data.batch_tokens);
    EXPECT_LE(tokens, 4e6 + 1);  // four passes
  }
}

TEST_F(Depth, SmallModelsOnLargeCorporaSeeTwentyTokensAParameter) {
  Recipe recipe = depth_recipe(1, corpus(9'000'000));
  int64_t tokens = recipe.schedule.steps * recipe.data.batch_tokens;
  EXPECT_NEAR(static_cast<double>(tokens), 20.0 * 12 * 64 * 64, 2048);
}

TEST_F(Depth, TinyCorporaAndBadArguments) {
  EXPECT_GE(depth_recipe(4, corpus(10)).schedule.steps, 10);
  EXPECT_THROW(depth_recipe(4, corpus(0)), Error);
  EXPECT_THROW(depth_recipe(0, corpus(10)), Error);
  EXPECT_THROW(depth_recipe(65, corpus(10)), Error);
  EXPECT_THROW(depth_recipe(4, folder_ / "missing.txt"), Error);
}

}  // namespace
}  // namespace millrace
