// The program itself: pull, models, rm, and the other verbs on what was pulled.
#include <thread>

#include "millrace/generate/export.h"
#include "tests/cli/program.h"
#include "tests/hub/hub_test.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class PullVerb : public HubTest {
 protected:
  PullVerb() {
    around_.environment = {{"MILLRACE_HOME", store_.home().string()},
                           {"MILLRACE_HF_ENDPOINT", server_.url()},
                           {"MILLRACE_MS_ENDPOINT", server_.url()},
                           {"MILLRACE_NO_CACHE", "1"},
                           {"HF_TOKEN", ""}};
  }

  /// A tiny model that talks, as "lab/tiny".
  void add_tiny_model() {
    export_folder(tiny_language_model(), scratch_ / "tiny", DType::f32);
    for (const auto& entry : fs::directory_iterator(scratch_ / "tiny")) {
      const std::string name = entry.path().filename().string();
      server_.add("lab/tiny", name, read_file(entry.path()), name.ends_with(".safetensors"));
    }
  }

  Outcome run(const std::vector<std::string>& arguments) {
    return millrace_program(arguments, around_);
  }
  Json json(const std::vector<std::string>& arguments) { return millrace_json(arguments, around_); }

  Surroundings around_{""};
};

TEST_F(PullVerb, VerbsTakeWhatWasPulled) {
  add_tiny_model();
  const Json pulled = json({"pull", "hf:lab/tiny"});
  EXPECT_EQ(pulled["name"], "hf:lab/tiny");
  EXPECT_EQ(pulled["commit"], HubServer::commit());
  EXPECT_TRUE(fs::exists(fs::path(pulled["path"].get<std::string>()) / "config.json"));
  for (const char* name : {"hf:lab/tiny", "lab/tiny", "tiny"}) {
    EXPECT_EQ(json({"show", name})["model_type"], "llama") << name;
  }
  EXPECT_EQ(json({"run", "tiny", "--prompt", "a", "--max-tokens", "4"})["prompt"], "a");
  EXPECT_EQ(run({"tokenize", "tiny", "--text", "ab"}).status, 0);
  const std::string text = scratch_.write("text", std::string(300, 'a')).string();
  const Outcome scored = run({"score", "tiny", "--file", text});
  EXPECT_EQ(scored.status, 0) << scored.err;
  const std::string gguf = (scratch_ / "tiny.gguf").string();
  EXPECT_EQ(run({"convert", "tiny", "--out", gguf}).status, 0);
  EXPECT_EQ(run({"serve", "hf:lab/tiny", "--print-config"}).out.find("hf:lab"), std::string::npos);

  EXPECT_EQ(json({"pull", gguf, "--name", "small"})["files"], 1);
  EXPECT_EQ(json({"show", "small"})["model_type"], "llama");
  const Outcome missing = run({"run", "hf:lab/other", "--prompt", "a"});
  EXPECT_EQ(missing.status, 1);
  expect_message(missing.err, {"was not pulled", "millrace pull hf:lab/other"});
}

TEST_F(PullVerb, WeightsOfPytorchAreConverted) {
  const fs::path golden = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden";
  fs::copy(golden / "export/model", scratch_ / "bin");
  fs::remove(scratch_ / "bin/model.safetensors");
  fs::copy(golden / "pytorch/exported_model.bin", scratch_ / "bin/pytorch_model.bin");
  ASSERT_EQ(json({"pull", (scratch_ / "bin").string(), "--name", "old"})["name"], "old");
  EXPECT_EQ(json({"models"})["models"][0]["type"], "bf16");
  const std::string first = (scratch_ / "first").string(), second = (scratch_ / "second").string();
  const Outcome converted = run({"convert", "old", "--out", first});
  ASSERT_EQ(converted.status, 0) << converted.err;
  ASSERT_EQ(run({"convert", (golden / "export/model").string(), "--out", second}).status, 0);
  EXPECT_EQ(read_file(fs::path(first) / "model.safetensors"),
            read_file(fs::path(second) / "model.safetensors"));
}

TEST_F(PullVerb, ModelsAreListedAndRemoved) {
  add_tiny_model();
  run({"pull", "hf:lab/tiny"});
  run({"pull", "ms:lab/tiny"});
  server_.add("lab/other", "config.json", "{}", false);
  run({"pull", "hf:lab/other"});
  const Json models = json({"models"})["models"];
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0]["name"], "hf:lab/other");
  EXPECT_EQ(models[0]["family"], "-");
  EXPECT_EQ(models[1]["name"], "hf:lab/tiny");
  EXPECT_EQ(models[1]["family"], "llama");
  EXPECT_EQ(models[1]["type"], "f32");
  EXPECT_GT(models[1]["bytes"], 10'000);
  expect_message(run({"models"}).out, {"hf:lab/tiny", "llama", "f32", "models/hf/lab/tiny"});
  expect_message(run({"show", "tiny"}).err, {"hf:lab/tiny, ms:lab/tiny", "whole name"});

  EXPECT_EQ(json({"rm", "hf:lab/tiny"})["freed_bytes"], 0);  // the other one has all of it
  EXPECT_EQ(json({"show", "tiny"})["model_type"], "llama");
  EXPECT_GT(json({"rm", "tiny", "hf:lab/other"})["freed_bytes"], 10'000);
  EXPECT_EQ(json({"models"})["models"].size(), 0u);
  EXPECT_EQ(blobs().size(), 0u);
  EXPECT_TRUE(fs::is_empty(store_.home() / "models"));
  expect_message(run({"rm", "tiny"}).err, {"'tiny'", "millrace models"});
  write_file(store_.blobs() / (std::string(64, 'a') + ".partial"), "x");
  write_file(store_.blobs() / (std::string(64, 'a') + ".parts"), "x");
  write_file(store_.blobs() / std::string(64, 'b'), "x");
  EXPECT_EQ(json({"rm", "--unfinished"})["freed_bytes"], 2);
  EXPECT_TRUE(fs::is_empty(store_.blobs()));
}

TEST_F(PullVerb, TwoAtOnceDoNotHarmEachOther) {
  const std::string weights = random_bytes(1'000'000, 7);
  server_.add("lab/big", "config.json", "{}", false);
  server_.add("lab/big", "model.safetensors", weights);
  server_.intercept = [](const HubRequest& request) -> std::optional<HubAnswer> {
    if (request.path.starts_with("/cdn/"))
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return std::nullopt;
  };
  std::vector<Outcome> outcomes(3);
  {
    std::vector<std::jthread> threads;
    for (Outcome& outcome : outcomes) {
      threads.emplace_back([&] { outcome = run({"pull", "hf:lab/big", "--json"}); });
    }
  }
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read_file(store_.home() / "models/hf/lab/big/model.safetensors"), weights);
  EXPECT_EQ(blobs().size(), 2u);
  EXPECT_EQ(blobs(".partial").size(), 0u);
  EXPECT_LT(server_.file_bytes(), 1'000'000u + 100);  // it came once
}

TEST_F(PullVerb, AFullDiskIsAClearError) {
  server_.add("lab/big", "model.safetensors", random_bytes(1'000'000, 7));
  // The system refuses files of more than 256 KiB, as it would where the disk is full.
  const std::string command =
      fmt::format("ulimit -f 512; exec '{}' pull hf:lab/big", MILLRACE_PROGRAM);
  const Outcome outcome = run_program("/bin/sh", {"-c", command}, around_);
  EXPECT_EQ(outcome.status, 1);
  expect_message(outcome.err, {"no room for its 1000000 bytes", "MILLRACE_HOME"});
  EXPECT_TRUE(store_.list().empty());
}

}  // namespace
}  // namespace millrace
