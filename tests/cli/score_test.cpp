// One engine: the program scores a checkpoint as the trainer did, to the bit, and `score` and
// `eval` give the same figures however much runs together.
#include <gtest/gtest.h>

#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/generate/export.h"
#include "millrace/train/run_folder.h"
#include "tests/byte_tokenizer.h"
#include "tests/cli/program.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

using Arguments = std::vector<std::string>;

/// Texts, conversations, requests and a recipe; runs are trained by the program.
class Score : public testing::Test {
 protected:
  Score() {
    save_tokenizer(byte_tokenizer(), std::string(built_in_template("chatml")),
                   folder_ / "tokenizer");
    Random random(9);
    std::string texts, conversations, requests, book;
    for (int i = 0; i < 40; ++i) {
      std::string word(2 + random.below(60), static_cast<char>('a' + random.below(8)));
      texts += R"({"text": ")" + word + " 春眠" + word + "\"}\n";
      conversations += R"({"messages": [{"role": "user", "content": ")" + word +
                       R"("}, {"role": "assistant", "content": "不觉)" + word + "\"}]}\n";
      requests += R"({"request": ")" + word + R"(", "form": "五言绝句"})" + "\n";
      book += word + ", " + word + ".\n";
    }
    folder_.write("train.jsonl", texts);
    folder_.write("heldout.jsonl", texts.substr(texts.find('\n', texts.size() / 2) + 1));
    folder_.write("chat.jsonl", conversations);
    folder_.write("requests.jsonl", requests);
    folder_.write("book.txt", book);
    folder_.write("recipe.yaml", R"(
data: {sequence_length: 48, batch_tokens: 384, micro_batch_tokens: 100}
optimizer: {name: muon, lr: 0.01}
schedule: {name: wsd, steps: 6, warmup_steps: 1}
eval: {every: 3}
checkpoint: {every: 3, keep: 2}
)");
  }

  std::string path(std::string_view name) const { return (folder_ / name).string(); }

  /// Trains RUN by the recipe; gives what it prints.
  Json train(const std::string& run, Arguments overrides) const {
    Arguments arguments = {"train", path("recipe.yaml"), "--out", path(run)};
    arguments.insert(arguments.end(), overrides.begin(), overrides.end());
    return millrace_json(arguments);
  }
  Json pretrain(const std::string& run, const std::string& precision) const {
    return train(run, {"precision=" + precision, "model.hidden_size=32", "model.num_layers=2",
                       "model.num_heads=2", "model.max_position_embeddings=128",
                       "tokenizer.path=" + path("tokenizer"), "data.train=" + path("train.jsonl"),
                       "data.heldout=" + path("heldout.jsonl")});
  }
  Json finetune(const std::string& run, const std::string& base, Arguments overrides) const {
    overrides.insert(overrides.end(),
                     {"task=finetune", "data.format=messages", "model.init_from=" + path(base),
                      "data.train=" + path("chat.jsonl"), "data.heldout=" + path("chat.jsonl")});
    return train(run, overrides);
  }

  /// The trainer's held-out figure of a step, as its log has it.
  double logged(const std::string& run, int64_t step, const char* name) const {
    for (const Json& line : read_log(folder_ / run)) {
      if (line.contains(name) && line.at("step") == step) return line.at(name).get<double>();
    }
    ADD_FAILURE() << run << " has no " << name << " of step " << step;
    return 0;
  }
  /// What `score` says of the documents that the trainer held out.
  Json score(const std::string& model, const std::string& file, Arguments more = {}) const {
    Arguments arguments = {"score", path(model), "--documents", path(file), "--context", "48"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return millrace_json(arguments);
  }
  void expect_as_logged(const Json& scored, const std::string& run, int64_t step) const {
    EXPECT_EQ(scored.at("nll").get<double>(), logged(run, step, "heldout_loss")) << step;
    EXPECT_EQ(scored.at("bits_per_byte").get<double>(), logged(run, step, "heldout_bits_per_byte"));
    EXPECT_EQ(scored.at("bits_per_character").get<double>(),
              logged(run, step, "heldout_bits_per_character"));
  }

  const ScratchFolder folder_;
};

TEST_F(Score, OfEveryCheckpointEqualsTheTrainersHeldOutLoss) {
  for (const std::string precision : {"f32", "bf16"}) {
    const std::string run = "run-" + precision;
    Json trained = pretrain(run, precision);
    Json scored = score(run + "/model", "heldout.jsonl");
    EXPECT_EQ(scored.at("nll"), trained.at("heldout_loss"));
    expect_as_logged(scored, run, 6);
    expect_as_logged(score(run + "/checkpoints/step-000006", "heldout.jsonl"), run, 6);
    expect_as_logged(score(run + "/checkpoints/step-000003", "heldout.jsonl"), run, 3);
    EXPECT_NE(logged(run, 3, "heldout_loss"), logged(run, 6, "heldout_loss"));
    // A GGUF file of the same types holds the same model.
    const std::string gguf = run + ".gguf";
    millrace_program({"convert", path(run + "/model"), "--out", path(gguf)});
    EXPECT_EQ(score(gguf, "heldout.jsonl").at("nll"), scored.at("nll"));
  }
}

TEST_F(Score, OfConversationsEqualsTheTrainersToo) {
  pretrain("base", "bf16");
  finetune("tuned", "base/model", {});
  const Arguments messages = {"--format", "messages"};
  expect_as_logged(score("tuned/model", "chat.jsonl", messages), "tuned", 6);
  finetune("lora", "base/model", {"lora.rank=4", "optimizer.lr=0.05"});
  for (const char* adapter : {"lora/adapter", "lora/checkpoints/step-000006"}) {
    Json scored =
        score("base/model", "chat.jsonl", {"--format", "messages", "--adapter", path(adapter)});
    expect_as_logged(scored, "lora", 6);
  }
}

TEST_F(Score, IsTheSameForAnyBatchAndAnyNumberOfThreads) {
  pretrain("f32", "f32");
  pretrain("bf16", "bf16");
  millrace_program({"quantize", path("bf16/model"), "--type", "Q4_0", "--out", path("q4.gguf")});
  for (const char* model : {"f32/model", "bf16/model", "q4.gguf"}) {
    Json documents, text;
    for (const auto& [batch, threads] :
         {std::pair("1", "1"), std::pair("2", "2"), std::pair("15", "1"), std::pair("16", "2"),
          std::pair("17", "2"), std::pair("33", "1")}) {
      const Arguments how = {"--batch", batch, "--threads", threads};
      Json scored = score(model, "heldout.jsonl", how);
      if (documents.is_null()) documents = scored;
      EXPECT_EQ(scored, documents) << model << ", batch " << batch << ", threads " << threads;
      scored = millrace_json({"score", path(model), "--file", path("book.txt"), "--context", "50",
                              "--token-scores", "--batch", batch, "--threads", threads});
      if (text.is_null()) text = scored;
      EXPECT_EQ(scored, text) << model << ", batch " << batch << ", threads " << threads;
    }
    EXPECT_GT(documents.at("tokens").get<int64_t>(), 500);
    EXPECT_GT(text.at("log_probabilities").size(), 500u);
  }
}

TEST_F(Score, OfPoemsIsTheSameForAnyBatchAndAnyNumberOfThreads) {
  pretrain("bf16", "bf16");
  millrace_program({"quantize", path("bf16/model"), "--type", "Q8_0", "--out", path("q8.gguf")});
  for (const char* model : {"bf16/model", "q8.gguf"}) {
    Json figures;
    std::string answers;
    for (const auto& [batch, threads] :
         {std::pair("1", "1"), std::pair("2", "2"), std::pair("16", "1"), std::pair("33", "2")}) {
      Json scored = millrace_json({"eval", path(model), "--requests", path("requests.jsonl"),
                                   "--max-tokens", "12", "--temperature", "1", "--batch", batch,
                                   "--threads", threads, "--answers", path("answers.jsonl")});
      if (figures.is_null()) {
        figures = scored;
        answers = read_file(folder_ / "answers.jsonl");
      }
      EXPECT_EQ(scored, figures) << model << ", batch " << batch;
      EXPECT_EQ(read_file(folder_ / "answers.jsonl"), answers) << model << ", batch " << batch;
    }
    EXPECT_GT(answers.size(), 40u * 60);
  }
}

TEST_F(Score, NeedsOneInputAndSaysWhich) {
  Outcome none = millrace_program({"score", path("tokenizer")});
  EXPECT_NE(none.status, 0);
  EXPECT_NE(none.err.find("--file"), std::string::npos) << none.err;
  EXPECT_NE(none.err.find("--documents"), std::string::npos) << none.err;
}

}  // namespace
}  // namespace millrace
