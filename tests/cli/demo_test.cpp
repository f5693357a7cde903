// The whole life of a model at small scale: tools/demo itself, on a few hundred poems and with a
// model of a few thousand weights, and then every other verb on what it made.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "millrace/base/file.h"
#include "millrace/data/lines.h"
#include "millrace/train/run_folder.h"
#include "tests/cli/markup.h"
#include "tests/cli/program.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = MILLRACE_SOURCE_DIR;

/// A copy of the parts of the house that the demo needs, with the first poems only, in which the
/// demo has been run once for all tests here.
class Demo : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<ScratchFolder>();
    for (const char* name : {"tools", "data", "runs"}) fs::create_directories(*folder_ / name);
    fs::copy(kSource / "recipes", *folder_ / "recipes");
    fs::copy_file(kSource / "tools/demo", *folder_ / "tools/demo");
    fs::copy_file(kSource / "data/tones.tsv", *folder_ / "data/tones.tsv");
    copy_lines("data/poems-train.jsonl", 400);
    copy_lines("data/poems-heldout.jsonl", 40);
    outcome_ = run_program(
        *folder_ / "tools/demo", {},
        {"",
         {{"MILLRACE", MILLRACE_PROGRAM},
          {"MILLRACE_THREADS", "1"},
          {"DEMO_PRETRAIN",
           "model.hidden_size=64 model.num_layers=2 model.num_heads=2 model.intermediate_size=128 "
           "data.batch_tokens=1024 schedule.steps=40 schedule.warmup_steps=2 eval.every=8 "
           "checkpoint.every=8 log_every=1"},
          {"DEMO_FINETUNE",
           "data.batch_tokens=1024 schedule.steps=40 schedule.warmup_steps=1 eval.every=6 "
           "optimizer.lr=0.004 optimizer.matrix_lr=0.02 "
           "checkpoint.every=6 "
           "log_every=1"}}});
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override { ASSERT_EQ(outcome_.status, 0) << outcome_.out << outcome_.err; }

  /// The first lines of a compressed file of the corpus.
  static void copy_lines(const std::string& name, int64_t count) {
    LineReader reader(kSource / (name + ".zst"));
    std::ofstream file(*folder_ / name, std::ios::binary);
    while (reader.next() && reader.number() <= count) file << reader.line() << "\n";
    file.close();
    const Outcome zstd = run_program("/usr/bin/env", {"zstd", "-q", "--rm", *folder_ / name});
    ASSERT_EQ(zstd.status, 0) << zstd.err;
  }

  static Surroundings here() { return {"", {}, folder_->path()}; }
  static fs::path path(const std::string& name) { return *folder_ / "runs/demo" / name; }
  static void expect_learned(const std::string& run, double least) {
    const std::vector<Json> log = read_log(path(run));
    double first = 0;
    for (const Json& line : log) {
      if (first == 0 && line.contains("loss")) first = line.at("loss").get<double>();
    }
    EXPECT_LT(last_number(log, "loss").value(), first - least) << run;
    double first_heldout = 0;
    for (const Json& line : log) {
      if (first_heldout == 0 && line.contains("heldout_loss")) {
        first_heldout = line.at("heldout_loss").get<double>();
      }
    }
    EXPECT_LT(last_number(log, "heldout_loss").value(), first_heldout) << run;
  }
  static Json greedy(const char* model) {
    return millrace_json({"run", path(model).string(), "--chat", "--prompt", "写一首五言绝句",
                          "--max-tokens", "24", "--temperature", "0", "--seed", "1"});
  }

  static inline std::unique_ptr<ScratchFolder> folder_;
  static inline Outcome outcome_;
};

TEST_F(Demo, EveryStepLeavesWhatTheNextOneNeeds) {
  for (const char* file :
       {"data/pretrain.jsonl", "data/heldout.jsonl", "data/instructions.jsonl",
        "data/requests.jsonl", "data/report.json", "tokenizer/tokenizer.json",
        "pretrain/recipe.yaml", "pretrain/model/model.safetensors", "finetune/recipe.yaml",
        "finetune/model/config.json", "model/tokenizer.json", "model/tokenizer_config.json",
        "model/generation_config.json", "answers.jsonl", "model-q8_0.gguf"}) {
    EXPECT_TRUE(fs::exists(path(file))) << file;
  }
  EXPECT_NE(outcome_.out.find("millrace chat runs/demo/model"), std::string::npos);
  // Three poems were written after the three requests.
  for (const char* request : {"以《春望》为题写一首五言绝句", "以《月夜》为题写一首七言绝句"}) {
    EXPECT_NE(outcome_.out.find(request), std::string::npos);
  }
}

TEST_F(Demo, BothRunsLearn) {
  expect_learned("pretrain", 1);
  expect_learned("finetune", 0.3);
}

TEST_F(Demo, RunsHaveAPictureAndAReport) {
  for (const char* run : {"pretrain", "finetune"}) {
    const std::string svg = read_file(path(run) / "loss.svg");
    EXPECT_EQ(markup_fault(svg), "");
    EXPECT_NE(svg.find("<svg"), std::string::npos);
    EXPECT_NE(svg.find("<path"), std::string::npos);
    const std::string report = read_file(path(run) / "report.html");
    EXPECT_EQ(markup_fault(report), "");
    EXPECT_NE(report.find("<svg"), std::string::npos);
  }
  EXPECT_NE(read_file(path("pretrain/report.html")).find("五言绝句《"), std::string::npos);
}

TEST_F(Demo, AnswersAndScoresAreThere) {
  Json scores = millrace_json({"eval", path("model").string(), "--requests",
                               path("data/requests.jsonl").string(), "--tones",
                               (*folder_ / "data/tones.tsv").string(), "--train",
                               (*folder_ / "data/poems-train.jsonl.zst").string(), "--limit", "8",
                               "--temperature", "1", "--max-tokens", "30"});
  EXPECT_EQ(scores.at("poems"), 8);
  LineReader answers(path("answers.jsonl"));
  int64_t count = 0;
  for (; answers.next(); ++count) EXPECT_TRUE(parse_json(answers.line(), "").contains("text"));
  EXPECT_GE(count, 10);
}

TEST_F(Demo, TheFolderAndItsGgufWriteTheSame) {
  const Outcome converted =
      millrace_program({"convert", path("model").string(), "--out", path("model.gguf").string()});
  ASSERT_EQ(converted.status, 0) << converted.err;
  const Json folder = greedy("model"), gguf = greedy("model.gguf");
  EXPECT_EQ(folder.at("ids"), gguf.at("ids"));
  EXPECT_EQ(folder.at("text"), gguf.at("text"));
  EXPECT_EQ(folder.at("log_probabilities"), gguf.at("log_probabilities"));
  // And back into a folder.
  ASSERT_EQ(
      millrace_program({"convert", path("model.gguf").string(), "--out", path("again").string()})
          .status,
      0);
  EXPECT_EQ(greedy("again").at("log_probabilities"), folder.at("log_probabilities"));
  EXPECT_LT(fs::file_size(path("model-q8_0.gguf")), fs::file_size(path("model.gguf")));
}

TEST_F(Demo, RunPrintsWhatItsContractSays) {
  const Json json = greedy("model");
  EXPECT_TRUE(json.at("text").is_string());
  EXPECT_FALSE(json.at("ids").empty());
  EXPECT_LE(json.at("ids").size(), 24u);
  EXPECT_TRUE(json.at("finish_reason") == "stop" || json.at("finish_reason") == "length");
  const Json& timings = json.at("timings");
  EXPECT_EQ(timings.at("generated_tokens"), json.at("ids").size());
  EXPECT_GT(timings.at("prompt_tokens").get<int64_t>(), 3);
  EXPECT_GT(timings.at("prefill_seconds").get<double>(), 0);
  EXPECT_GT(timings.at("decode_seconds").get<double>(), 0);
  // The ids are those of the text.
  const Json decoded = millrace_json({"tokenize", path("model").string(), "--decode"},
                                     {to_json_text(json.at("ids"))});
  EXPECT_EQ(decoded.at("text"), json.at("text"));
}

TEST_F(Demo, TokensComeBackAsTheText) {
  const std::string text = "床前明月光，疑是地上霜。\nnot in the corpus: café 🌸\n";
  const std::string file = folder_->write("text.txt", text);
  for (const char* model : {"model", "model-q8_0.gguf"}) {
    const Json json = millrace_json({"tokenize", path(model).string(), "--file", file});
    EXPECT_EQ(json.at("ids").size(), json.at("tokens").get<size_t>());
    const Json back =
        millrace_json({"tokenize", path(model).string(), "--decode"}, {to_json_text(json)});
    EXPECT_EQ(back.at("text"), text) << model;
  }
}

TEST_F(Demo, BenchPrintsWhatItsContractSays) {
  const Json json = millrace_json({"bench", path("model").string(), "--prefill", "16", "--decode",
                                   "4", "--threads", "2", "--repeat", "3"});
  for (const char* rate : {"prefill_tokens_per_second", "decode_tokens_per_second"}) {
    const Json& figures = json.at(rate);
    EXPECT_GT(figures.at("min").get<double>(), 0);
    EXPECT_GE(figures.at("median").get<double>(), figures.at("min").get<double>());
    EXPECT_GE(figures.at("max").get<double>(), figures.at("median").get<double>());
  }
  EXPECT_GT(json.at("load_seconds").get<double>(), 0);
  EXPECT_GT(json.at("peak_memory_mb").get<double>(), 1);
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_TRUE(json.at("instruction_set").is_string());
  const Json deep = millrace_json({"bench", path("model").string(), "--prefill", "8", "--decode",
                                   "4", "--depth", "16", "--repeat", "1"});
  EXPECT_EQ(deep.at("depth"), 16);
  EXPECT_GT(deep.at("prefill_tokens_per_second").at("min").get<double>(), 0);
}

TEST_F(Demo, RunsAreListedAndDrawn) {
  const Json list = millrace_json({"runs"}, here());
  ASSERT_EQ(list.at("runs").size(), 2u);
  for (const Json& run : list.at("runs")) {
    EXPECT_EQ(run.at("state"), "finished");
    EXPECT_EQ(run.at("step"), run.at("steps"));
  }
  EXPECT_EQ(list.at("runs")[0].at("path"), "runs/demo/finetune");
  const Json one = millrace_json({"runs", "show", "runs/demo/pretrain"}, here());
  EXPECT_GT(one.at("log").size(), 40u);
  const Outcome drawn = millrace_program({"runs", "show", "runs/demo/pretrain"}, here());
  EXPECT_EQ(drawn.status, 0);
  EXPECT_GT(std::count(drawn.out.begin(), drawn.out.end(), '\n'), 10);
  EXPECT_NE(drawn.out.find("runs/demo/pretrain: finished, step 40 of 40"), std::string::npos)
      << drawn.out;
}

TEST_F(Demo, ScoreAndShowSayWhatTheModelIs) {
  const Json show = millrace_json({"show", path("model").string()});
  EXPECT_EQ(show.at("model_type"), "llama");
  EXPECT_EQ(show.at("num_layers"), 2);
  EXPECT_EQ(show.at("hidden_size"), 64);
  const std::string heldout = path("data/heldout.jsonl");
  const Json pretrained = millrace_json(
      {"score", path("pretrain/model").string(), "--documents", heldout, "--context", "256"});
  EXPECT_EQ(pretrained.at("nll").get<double>(),
            last_number(read_log(path("pretrain")), "heldout_loss").value());
}

}  // namespace
}  // namespace millrace
