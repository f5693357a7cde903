#include "millrace/train/run_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/train/checkpoints.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

Recipe recipe() {
  Recipe result;
  result.data.train = {"a.txt"};
  result.schedule.steps = 300;
  return override_recipe(result, {});
}

template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(RunFolder, IsCreatedOnceAndOpenedAgain) {
  ScratchFolder folder;
  auto path = folder / "runs/a";
  RunFolder::create(path, recipe()).log({{"step", 0}, {"event", "started"}});
  expect_contains(error_of([&] { RunFolder::create(path, recipe()); }), "holds a run already");
  EXPECT_EQ(RunFolder::open(path).recipe(), recipe());
  expect_contains(error_of([&] { RunFolder::open(folder / "none"); }), "holds no run");
}

TEST(RunFolder, ThatNeverBeganIsReplaced) {
  ScratchFolder folder;
  RunFolder::create(folder / "a", recipe());
  std::filesystem::create_directories(folder / "a/tokenizer");  // of other data, perhaps
  Recipe other = recipe();
  other.seed = 7;
  EXPECT_EQ(RunFolder::create(folder / "a", other).recipe().seed, 7);
  EXPECT_EQ(RunFolder::open(folder / "a").recipe().seed, 7);
  EXPECT_FALSE(std::filesystem::exists(folder / "a/tokenizer"));
}

TEST(RunFolder, LeavesATokenizerThatIsNotItsOwn) {
  ScratchFolder folder;
  std::filesystem::create_directories(folder / "a/tokenizer");
  Recipe named = recipe();
  named.tokenizer.path = (folder / "a/tokenizer").string();
  for (int attempt = 0; attempt < 2; ++attempt) {
    RunFolder::create(folder / "a", named);
    EXPECT_TRUE(std::filesystem::exists(folder / "a/tokenizer")) << attempt;
  }
}

TEST(RunFolder, HasOneWriter) {
  ScratchFolder folder;
  RunFolder run = RunFolder::create(folder / "a", recipe());
  EXPECT_TRUE(is_being_written(folder / "a"));
  EXPECT_EQ(error_of([&] { RunFolder::open(folder / "a"); }),
            (folder / "a").string() + ": another process is writing this run");
  { RunFolder moved = std::move(run); }
  EXPECT_FALSE(is_being_written(folder / "a"));
  RunFolder::open(folder / "a");
}

TEST(RunFolder, IsTidiedWhenItIsOpened) {
  ScratchFolder folder;
  RunFolder::create(folder / "a", recipe());
  folder.write("a/train.tokens.123.tmp", "half");
  std::filesystem::create_directories(folder / "a/.model.tmp/b");
  RunFolder run = RunFolder::open((folder / "a").string() + "/");
  EXPECT_EQ(run.path(), folder / "a");
  EXPECT_FALSE(std::filesystem::exists(folder / "a/train.tokens.123.tmp"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a/.model.tmp"));
}

TEST(RunFolder, TheLogIsTakenBackToAStep) {
  ScratchFolder folder;
  RunFolder run = RunFolder::create(folder / "a", recipe());
  for (int step : {0, 10, 20, 30}) run.log({{"step", step}, {"loss", 5.5 - step}});
  {  // a writer that was killed
    std::FILE* file = std::fopen((folder / "a/log.jsonl").c_str(), "ab");
    std::fputs("{\"step\": 40, \"lo", file);
    std::fclose(file);
  }
  EXPECT_EQ(read_log(folder / "a").size(), 4u);
  run.truncate_log(20);
  run.log({{"step", 21}});
  run.sync_log();
  std::vector<Json> lines = read_log(folder / "a");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2]["step"], 20);
  EXPECT_EQ(lines[3]["step"], 21);
}

TEST(RunFolder, FoldersThatCannotBeWrittenAreErrors) {
  ScratchFolder folder;
  auto file = folder.write("file", "");
  expect_contains(error_of([&] { RunFolder::create(file / "a", recipe()); }),
                  "cannot create the folder");
  expect_contains(error_of([&] { RunFolder::create("/proc/a", recipe()); }), "/proc/a: cannot");
}

TEST(RunFolder, RunsAreListedWithTheirState) {
  ScratchFolder folder;
  {
    RunFolder done = RunFolder::create(folder / "b/stage", recipe());
    done.log({{"step", 300}, {"loss", 2.5}, {"heldout_bits_per_byte", 1.25}});
    save_checkpoint(done.path(), 300, [](const auto&) {});
    RunFolder::create(folder / "c", recipe()).log({{"step", 7}, {"steps", 9}});
  }
  RunFolder running = RunFolder::create(folder / "a", recipe());
  std::filesystem::create_directories(folder / "d");
  folder.write("d/recipe.yaml", "rubbish: [");
  std::vector<RunSummary> runs = list_runs(folder.path());
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].state, "running");
  EXPECT_EQ(runs[1].state, "finished");
  EXPECT_EQ(runs[1].loss, 2.5);
  EXPECT_EQ(runs[1].heldout_bits_per_byte, 1.25);
  EXPECT_EQ(runs[2].state, "stopped");
  EXPECT_EQ(runs[2].step, 7);
  EXPECT_EQ(runs[2].steps, 9);
  EXPECT_EQ(runs[3].state, "unreadable");
  EXPECT_TRUE(list_runs(folder / "none").empty());
}

TEST(Checkpoints, AreSavedListedAndPruned) {
  ScratchFolder folder;
  EXPECT_FALSE(latest_checkpoint(folder.path()).has_value());
  for (int64_t step : {5, 100, 2000000}) {
    save_checkpoint(folder.path(), step, [&](const std::filesystem::path& path) {
      write_file(path / "step", std::to_string(step));
    });
  }
  std::filesystem::create_directories(folder / "checkpoints/step-12x");
  std::filesystem::create_directories(folder / "checkpoints/.step-000300.tmp");
  ASSERT_EQ(list_checkpoints(folder.path()).size(), 3u);
  EXPECT_EQ(latest_checkpoint(folder.path())->step, 2000000);
  bool called = false;
  save_checkpoint(folder.path(), 100, [&](const auto&) { called = true; });
  EXPECT_FALSE(called);
  prune_checkpoints(folder.path(), 2);
  EXPECT_EQ(list_checkpoints(folder.path())[0].path, folder / "checkpoints/step-000100");
  EXPECT_EQ(read_file(folder / "checkpoints/step-000100/step"), "100");
  EXPECT_FALSE(std::filesystem::exists(folder / "checkpoints/.step-000300.tmp"));
  EXPECT_FALSE(std::filesystem::exists(folder / "checkpoints/.step-000005.old"));
}

/// While it lives, files cannot grow beyond `bytes`: what a full disk looks like to a writer.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(Checkpoints, AFullDiskLeavesTheLastOneIntact) {
  ScratchFolder folder;
  auto write = [](const std::filesystem::path& path) {
    write_file(path / "small", "small");
    write_file(path / "weights", std::string(100'000, 'w'));
  };
  save_checkpoint(folder.path(), 1, write);
  {
    FileSizeLimit limit(50'000);
    std::string message = error_of([&] { save_checkpoint(folder.path(), 2, write); });
    expect_contains(message, "weights: cannot write: File too large");
    expect_contains(message, "the last one is " + (folder / "checkpoints/step-000001").string());
  }
  ASSERT_EQ(list_checkpoints(folder.path()).size(), 1u);
  EXPECT_EQ(read_file(folder / "checkpoints/step-000001/weights").size(), 100'000u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "checkpoints"), {}), 1);
}

TEST(RunFolder, AFullDiskStopsTheLog) {
  ScratchFolder folder;
  RunFolder run = RunFolder::create(folder / "a", recipe());
  FileSizeLimit limit(1000);
  std::string message = error_of([&] {
    for (int step = 0; step < 100; ++step) run.log({{"step", step}, {"loss", 1.0}});
  });
  expect_contains(message, "log.jsonl: cannot write");
}

TEST(Checkpoints, AKilledWriterLeavesWholeOnesOnly) {
  ScratchFolder folder;
  const std::string contents(30'000, 'c');
  Random random(11);
  for (int round = 0; round < 12; ++round) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto last = latest_checkpoint(folder.path());
      for (int64_t step = last ? last->step + 1 : 1;; ++step) {
        save_checkpoint(folder.path(), step, [&](const std::filesystem::path& path) {
          for (const char* name : {"a", "b", "c"}) write_file(path / name, contents);
        });
        prune_checkpoints(folder.path(), 2);
      }
    }
    auto step = [&] {
      auto last = latest_checkpoint(folder.path());
      return last ? last->step : 0;
    };
    const int64_t before = step();
    while (step() == before) ::usleep(500);
    ::usleep(static_cast<useconds_t>(random.below(20'000)));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (const Checkpoint& checkpoint : list_checkpoints(folder.path())) {
      for (const char* name : {"a", "b", "c"}) {
        EXPECT_EQ(read_file(checkpoint.path / name), contents);
      }
    }
  }
  prune_checkpoints(folder.path(), 2);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "checkpoints"), {}), 2);
}

}  // namespace
}  // namespace millrace
