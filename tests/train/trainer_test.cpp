#include "millrace/train/trainer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/export.h"
#include "millrace/train/checkpoints.h"
#include "millrace/train/heldout.h"
#include "millrace/train/inputs.h"
#include "tests/byte_tokenizer.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

/// A folder with a tokenizer, a text to learn and a recipe for a tiny model.
class Trainer : public testing::Test {
 protected:
  Trainer() {
    save_tokenizer(byte_tokenizer(), std::string(built_in_template("chatml")),
                   folder_ / "tokenizer");
    Random random(4);
    std::string text, conversations;
    for (int i = 0; i < 60; ++i) {
      std::string word(3 + random.below(20), static_cast<char>('a' + random.below(6)));
      text += word + " " + word + "!\n---\n";
      conversations += R"({"messages": [{"role": "user", "content": ")" + word +
                       R"("}, {"role": "assistant", "content": "yes"}]})" + "\n";
    }
    folder_.write("train.txt", text);
    folder_.write("heldout.txt", text.substr(0, 400));
    folder_.write("chat.jsonl", conversations);
  }
  ~Trainer() override { set_num_threads(threads_before_); }

  Recipe recipe(std::vector<std::string> overrides = {}) const {
    constexpr const char* kYaml = R"(
model: {hidden_size: 32, num_layers: 2, num_heads: 2, max_position_embeddings: 64}
data: {separator: "---", sequence_length: 24, batch_tokens: 96, micro_batch_tokens: 60}
optimizer: {name: muon, lr: 0.01}
schedule: {name: wsd, steps: 24, warmup_steps: 4}
eval: {every: 6}
checkpoint: {every: 2}
samples: {prompts: ["aaa"], max_tokens: 5}
log_every: 3
)";
    overrides.push_back("tokenizer.path=" + (folder_ / "tokenizer").string());
    overrides.push_back("data.train=" + (folder_ / "train.txt").string());
    overrides.push_back("data.heldout=" + (folder_ / "heldout.txt").string());
    return parse_recipe(kYaml, "test", overrides);
  }

  std::filesystem::path run(const char* name) const { return folder_ / name; }

  TrainingResult train_new(const char* name, const Recipe& recipe) const {
    RunFolder created = RunFolder::create(run(name), recipe);
    return train(created);
  }
  TrainingResult resume(const char* name) const {
    RunFolder opened = RunFolder::open(run(name));
    return train(opened);
  }

  /// Starts a process that trains, on one thread, as a process just forked has no others.
  pid_t start(const char* name, const Recipe& recipe) const {
    set_num_threads(1);
    pid_t child = ::fork();
    if (child != 0) return child;
    try {
      bool exists = std::filesystem::exists(run(name) / "recipe.yaml");
      RunFolder opened = exists ? RunFolder::open(run(name)) : RunFolder::create(run(name), recipe);
      train(opened);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }

  /// All that two runs must have in common at the end.
  std::map<std::string, std::string> bits(const char* name) const {
    std::map<std::string, std::string> files;
    Checkpoint last = latest_checkpoint(run(name)).value();
    for (const auto& root : {last.path, run(name) / "model", run(name) / "adapter"}) {
      if (!std::filesystem::exists(root)) continue;
      for (const auto& item : std::filesystem::directory_iterator(root)) {
        if (item.path().filename() == "trainer.json") continue;  // holds the time
        files[root.filename().string() + "/" + item.path().filename().string()] =
            read_file(item.path());
      }
    }
    return files;
  }

  void expect_same_bits(const char* a, const char* b) const {
    auto first = bits(a), second = bits(b);
    EXPECT_GE(first.size(), 3u);
    for (const auto& [name, contents] : first) {
      EXPECT_TRUE(second.contains(name)) << name;
      EXPECT_TRUE(second[name] == contents) << name << " differs";
    }
    EXPECT_EQ(first.size(), second.size());
  }

  const ScratchFolder folder_;
  const int threads_before_ = num_threads();
};

TEST_F(Trainer, LearnsAndWritesAModelThatOpens) {
  TrainingResult result = train_new("a", recipe());
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.step, 24);
  EXPECT_LT(result.loss, 4);  // ln 259 = 5.6 at the start
  EXPECT_GT(result.heldout_bits_per_byte.value(), 0);
  std::vector<Json> log = read_log(run("a"));
  EXPECT_EQ(log[0]["event"], "started");
  for (const char* field :
       {"loss", "lr", "grad_norm", "tokens", "tokens_per_second", "mfu", "memory_bytes"}) {
    EXPECT_TRUE(last_number(log, field).has_value()) << field;
  }
  EXPECT_TRUE(std::filesystem::exists(run("a") / "report.html"));
  EXPECT_TRUE(std::filesystem::exists(run("a") / "loss.svg"));
  EXPECT_EQ(list_checkpoints(run("a")).size(), 2u);
  LanguageModel model = open_language_model(run("a") / "model");
  GenerationOptions options;
  options.max_tokens = 3;
  EXPECT_EQ(generate(model, model.tokenizer.encode("bbb"), options).prompt_tokens, 3);
}

TEST_F(Trainer, ACheckpointScoresAsTheTrainerDidToTheBit) {
  TrainingResult result = train_new("a", recipe());
  for (const auto& path : {latest_checkpoint(run("a"))->path, run("a") / "model"}) {
    LanguageModel model = open_language_model(path);
    TokenDataset dataset = open_dataset(recipe().data, {(folder_ / "heldout.txt").string()}, model,
                                        folder_ / "again.tokens");
    Workspace workspace;
    HeldoutLoss loss =
        heldout_loss(*model.model, nullptr, dataset, make_pieces(dataset, 24, LongDocuments::cut),
                     24, token_lengths(model.tokenizer), workspace);
    EXPECT_EQ(loss.loss.mean(), result.heldout_loss.value()) << path;
    EXPECT_EQ(loss.bits_per_byte(), result.heldout_bits_per_byte.value());
  }
}

TEST_F(Trainer, TheSameRunTwiceGivesTheSameBitsAtAnyNumberOfThreads) {
  for (const char* precision : {"precision=bf16", "precision=f32"}) {
    Recipe same = recipe({precision, "schedule.steps=8"});
    set_num_threads(1);
    train_new("a", same);
    set_num_threads(3);
    train_new("b", same);
    expect_same_bits("a", "b");
    same.seed = 1;
    train_new("c", same);
    EXPECT_FALSE(bits("a") == bits("c"));
    std::filesystem::remove_all(run("c"));
    std::filesystem::remove_all(run("a"));
    std::filesystem::remove_all(run("b"));
  }
}

TEST_F(Trainer, KilledAtAnyMomentAndResumedItEndsInTheSameBits) {
  train_new("whole", recipe());
  Random random(7);
  int kills = 0, inside_write = 0;
  auto is_writing = [&] {
    std::error_code missing;
    for (const auto& item :
         std::filesystem::directory_iterator(run("killed") / "checkpoints", missing)) {
      if (item.path().extension() == ".tmp") return true;
    }
    return false;
  };
  while (kills < 12 || inside_write < 6) {
    pid_t child = start("killed", recipe());
    ASSERT_GT(child, 0);
    const bool wait_for_write = kills % 2 == 0;
    int status = 0;
    bool ended = false;
    auto patience = static_cast<int64_t>(random.below(60'000));  // microseconds
    while (!ended && (wait_for_write ? !is_writing() : patience > 0)) {
      ::usleep(200);
      patience -= 200;
      ended = ::waitpid(child, &status, WNOHANG) == child;
    }
    if (ended) {  // it was done before it could be killed: begin anew
      ASSERT_EQ(status, 0);
      std::filesystem::remove_all(run("killed"));
      continue;
    }
    ::usleep(static_cast<useconds_t>(random.below(1500)));
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    ++kills;
    if (is_writing()) ++inside_write;
  }
  set_num_threads(2);
  EXPECT_TRUE(resume("killed").finished);
  expect_same_bits("whole", "killed");
  // The log has every line once.
  std::vector<int64_t> steps;
  for (const Json& line : read_log(run("killed"))) {
    if (line.contains("loss")) steps.push_back(line["step"]);
  }
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 3, 6, 9, 12, 15, 18, 21, 24}));
}

TEST_F(Trainer, CtrlCSavesACheckpointAndTheRunGoesOnFromIt) {
  Recipe long_run = recipe({"schedule.steps=60", "checkpoint.every=0"});
  train_new("whole", long_run);
  pid_t child = start("stopped", long_run);
  while (read_log(run("stopped")).size() < 4) ::usleep(500);
  ::kill(child, SIGINT);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  int64_t step = latest_checkpoint(run("stopped")).value().step;
  EXPECT_LT(step, 60);
  EXPECT_EQ(summarize_run(run("stopped")).state, "stopped");
  TrainingResult result = resume("stopped");
  EXPECT_TRUE(result.finished);
  expect_same_bits("whole", "stopped");
  EXPECT_EQ(summarize_run(run("stopped")).state, "finished");
  EXPECT_EQ(resume("stopped").step, 60);  // nothing is left to do, and nothing changes
  expect_same_bits("whole", "stopped");
}

TEST_F(Trainer, AFullDiskIsAnErrorAndTheRunGoesOnFromTheLastCheckpoint) {
  train_new("whole", recipe());
  pid_t child = start("full", recipe());
  while (!latest_checkpoint(run("full"))) ::usleep(500);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit limit = {20'000, before.rlim_max};
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::string message;
  try {
    resume("full");
  } catch (const Error& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write: File too large"), std::string::npos) << message;
  EXPECT_NE(message.find("the last one is"), std::string::npos) << message;
  EXPECT_TRUE(resume("full").finished);
  expect_same_bits("whole", "full");
}

TEST_F(Trainer, ALossThatIsNoNumberStopsTheRun) {
  try {
    train_new("a", recipe({"optimizer.name=adamw", "optimizer.lr=90", "optimizer.clip=0",
                           "precision=f32", "optimizer.weight_decay=90"}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("step "), 0u) << error.what();
  }
}

TEST_F(Trainer, AnotherProcessCannotWriteTheSameRun) {
  RunFolder held = RunFolder::create(run("a"), recipe());
  EXPECT_THROW(resume("a"), Error);
}

TEST_F(Trainer, EpochsDecideTheStepsWhereNoneAreGiven) {
  TrainingResult result =
      train_new("a", recipe({"schedule.steps=0", "data.epochs=0.5", "schedule.warmup_steps=1000"}));
  EXPECT_TRUE(result.finished);
  EXPECT_GT(result.steps, 5);
  EXPECT_LT(result.steps, 20);
}

TEST_F(Trainer, ATokenizerIsTrainedWhereNoneIsNamed) {
  Recipe without = recipe({"schedule.steps=4"});
  without.tokenizer.path = "";
  without.tokenizer.vocab_size = 280;
  train_new("a", without);
  EXPECT_TRUE(std::filesystem::exists(run("a") / "tokenizer/tokenizer.json"));
  EXPECT_LE(load_tokenizer(run("a") / "model").vocab_size(), 280);
}

TEST_F(Trainer, AConfigFileGivesANewModelOfAnyFamily) {
  const std::filesystem::path golden =
      std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/qwen3";
  const Recipe of_file =
      parse_recipe("model: {config: " + golden.string() + "}\nschedule: {steps: 12}\n" +
                       "data: {separator: '---', sequence_length: 24, batch_tokens: 96}\n",
                   "test",
                   std::vector<std::string>{"tokenizer.path=" + (folder_ / "tokenizer").string(),
                                            "data.train=" + (folder_ / "train.txt").string(),
                                            "data.heldout=" + (folder_ / "heldout.txt").string()});
  const TrainingResult result = train_new("run", of_file);
  EXPECT_EQ(result.step, 12);
  const LanguageModel model = open_language_model(run("run") / "model");
  const ModelConfig& config = model.model->config();
  const ModelConfig expected = load_config(golden);
  EXPECT_EQ(config.model_type, "qwen3");
  EXPECT_EQ(config.head_dim, expected.head_dim);
  EXPECT_EQ(config.windowed, expected.windowed);
  EXPECT_EQ(config.vocab_size, model.tokenizer.vocab_size());
  EXPECT_EQ(config.eos_token_ids, model.tokenizer.end_ids());
}

TEST_F(Trainer, FillingInTheMiddleIsLearnedAndResumesToTheSameBits) {
  const Recipe infill = recipe({"data.objective=fill_in_the_middle", "tokenizer.vocab_size=300",
                                "data.fim_rate=0.7", "schedule.steps=40"});
  Recipe own = infill;
  own.tokenizer.path.clear();  // one is trained, with the tokens that it takes
  const TrainingResult result = train_new("whole", own);
  EXPECT_LT(result.loss, 4);
  EXPECT_TRUE(infill_tokens(load_tokenizer(run("whole") / "model")));
  const pid_t child = start("part", own);
  while (!latest_checkpoint(run("part"))) ::usleep(500);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(resume("part").finished);
  expect_same_bits("whole", "part");
}

TEST_F(Trainer, AnEncoderLearnsHiddenTokens) {
  const std::string bert =
      (std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/bert").string();
  const auto masked = [&](const std::string& config) {
    return parse_recipe(
        "model: {config: " + config + "}\ntokenizer: {vocab_size: 300}\n" +
            "schedule: {steps: 60}\noptimizer: {lr: 0.003}\n" +
            "data: {separator: '---', sequence_length: 24, batch_tokens: 384, " +
            "objective: masked, whole_words: true, mask_rate: 0.3}\n",
        "test",
        std::vector<std::string>{"data.train=" + (folder_ / "train.txt").string(),
                                 "data.heldout=" + (folder_ / "heldout.txt").string()});
  };
  const TrainingResult result = train_new("run", masked(bert));
  EXPECT_TRUE(result.finished);
  EXPECT_LT(result.heldout_loss.value(), 0.8 * std::log(300.0));
  const LanguageModel model = open_language_model(run("run") / "model");
  EXPECT_FALSE(model.model->config().causal);
  EXPECT_GE(model.tokenizer.token_id("<|mask|>"), 0);
  // A decoder cannot see behind a hidden token.
  EXPECT_THROW(train_new("decoder", masked(bert.substr(0, bert.size() - 4) + "llama")), Error);
}

TEST_F(Trainer, FineTuningLearnsWhatTheAssistantSays) {
  train_new("base", recipe({"schedule.steps=4"}));
  Recipe tuned = recipe();
  tuned.task = "finetune";
  tuned.model = {};
  tuned.model.init_from = (run("base") / "model").string();
  tuned.data.format = "messages";
  tuned.data.train = tuned.data.heldout = {(folder_ / "chat.jsonl").string()};
  tuned.data.sequence_length = 60;
  for (int64_t rank : {0, 4}) {
    tuned.lora.rank = rank;
    tuned.optimizer.lr = rank > 0 ? 0.05 : 0.01;
    const char* name = rank > 0 ? "lora" : "full";
    TrainingResult result = train_new(name, override_recipe(tuned, {}));
    EXPECT_TRUE(result.finished);
    const double first_loss = read_log(run(name)).at(1)["loss"];
    EXPECT_LT(result.loss, first_loss - 0.2) << name;
    EXPECT_EQ(result.model.filename(), rank > 0 ? "adapter" : "model");
  }
  EXPECT_TRUE(std::filesystem::exists(run("lora") / "adapter/adapter_config.json"));
  open_language_model(run("base") / "model", run("lora") / "adapter");
}

TEST_F(Trainer, LoraResumesToTheSameBits) {
  train_new("base", recipe({"schedule.steps=4"}));
  Recipe lora = recipe({"checkpoint.every=3"});
  lora.model = {};
  lora.model.init_from = (run("base") / "model").string();
  lora.lora.rank = 4;
  lora = override_recipe(lora, {});
  train_new("whole", lora);
  pid_t child = start("killed", lora);
  while (!latest_checkpoint(run("killed"))) ::usleep(500);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  resume("killed");
  expect_same_bits("whole", "killed");
}

}  // namespace
}  // namespace millrace
