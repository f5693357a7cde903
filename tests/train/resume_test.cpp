// A run gives the same bits twice, and the same bits when it was stopped and resumed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "millrace/base/file.h"
#include "millrace/train/checkpoints.h"
#include "millrace/train/trainer.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class Resume : public testing::Test {
 protected:
  Resume() {
    fs::remove_all(root_);
    make_folder(root_);
    std::string text;
    for (int i = 0; i < 60; ++i) {
      text += fmt::format("line {} says that {} times {} is {}\n<|endoftext|>\n", i, i, i, i * i);
    }
    write_file(root_ / "corpus.txt", text);
  }
  ~Resume() override { fs::remove_all(root_); }

  Recipe recipe() const {
    Recipe recipe;
    recipe.model.hidden_size = 32;
    recipe.model.num_layers = 2;
    recipe.model.num_heads = 2;
    recipe.model.max_position_embeddings = 128;
    recipe.tokenizer.vocab_size = 300;
    recipe.data.train = {(root_ / "corpus.txt").string()};
    recipe.data.heldout = recipe.data.train;
    recipe.data.sequence_length = 64;
    recipe.data.batch_tokens = 256;
    recipe.data.micro_batch_tokens = 128;
    recipe.optimizer.name = "muon";
    recipe.schedule.steps = 8;
    recipe.schedule.warmup_steps = 2;
    recipe.eval.every = 4;
    recipe.checkpoint.every = 2;
    recipe.checkpoint.keep = 10;
    return recipe;
  }

  TrainingResult run(const std::string& name, const Recipe& recipe) {
    RunFolder folder = RunFolder::create(root_ / name, recipe);
    return train(folder);
  }

  std::string weights(const std::string& name) {
    return read_file(root_ / name / "model" / "model.safetensors");
  }

  fs::path root_ = fs::temp_directory_path() / "millrace-resume-test";
};

TEST_F(Resume, TheSameRunTwiceGivesTheSameBits) {
  TrainingResult first = run("first", recipe()), second = run("second", recipe());
  EXPECT_TRUE(first.finished);
  EXPECT_EQ(first.step, 8);
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(first.heldout_loss, second.heldout_loss);
  EXPECT_TRUE(weights("first") == weights("second"));
  Recipe other = recipe();
  other.seed = 1;
  run("other", other);
  EXPECT_FALSE(weights("first") == weights("other"));
}

TEST_F(Resume, AResumedRunEndsInTheBitsOfOneThatWasNeverStopped) {
  run("whole", recipe());
  run("stopped", recipe());
  // As after a kill between the checkpoints of steps 4 and 6.
  fs::remove_all(root_ / "stopped" / "model");
  for (const Checkpoint& checkpoint : list_checkpoints(root_ / "stopped")) {
    if (checkpoint.step > 4) fs::remove_all(checkpoint.path);
  }
  RunFolder folder = RunFolder::open(root_ / "stopped");
  EXPECT_TRUE(train(folder).finished);
  EXPECT_TRUE(weights("whole") == weights("stopped"));
}

TEST_F(Resume, TrainingLowersTheLoss) {
  Recipe longer = recipe();
  longer.schedule.steps = 40;
  longer.checkpoint.every = 0;
  RunFolder folder = RunFolder::create(root_ / "longer", longer);
  TrainingResult result = train(folder);
  ASSERT_TRUE(result.heldout_loss.has_value());
  EXPECT_LT(*result.heldout_loss, 5.0);  // a uniform guess has 5.7
  EXPECT_TRUE(fs::exists(root_ / "longer" / "report.html"));
}

}  // namespace
}  // namespace millrace
