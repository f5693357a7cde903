// `millrace embed` and `millrace rerank`: texts from anywhere, vectors to anywhere, the same ones.
#include <gtest/gtest.h>

#include <sstream>

#include "millrace/base/file.h"
#include "millrace/generate/embedding.h"
#include "millrace/generate/export.h"
#include "tests/cli/program.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

class Embed : public testing::Test {
 protected:
  Embed() {
    export_folder(tiny_language_model(), folder_ / "model", DType::f32);
    folder_.write("texts.txt", "water\n\nfire\n");
    folder_.write("texts.jsonl", "{\"text\": \"water\"}\n{\"text\": \"fire\"}\n");
    folder_.write("bodies.jsonl", "{\"body\": \"water\"}\n{\"body\": \"fire\"}\n");
  }
  Outcome run(const std::vector<std::string>& arguments, const std::string& input = "") const {
    return millrace_program(arguments, {input, {}, folder_.path()});
  }

  ScratchFolder folder_;
};

TEST_F(Embed, TextsMayStandAnywhere) {
  const Outcome given = run({"embed", "model", "water", "fire"});
  ASSERT_EQ(given.status, 0) << given.err;
  EXPECT_EQ(run({"embed", "model", "--file", "texts.txt"}).out, given.out);
  EXPECT_EQ(run({"embed", "model", "--file", "texts.jsonl"}).out, given.out);
  EXPECT_EQ(run({"embed", "model", "--file", "bodies.jsonl", "--field", "body"}).out, given.out);
  EXPECT_EQ(run({"embed", "model", "--file", "-"}, "water\nfire").out, given.out);
  std::istringstream lines(given.out);
  std::string first;
  std::getline(lines, first);
  const Json json = parse_json(first, "the first line");
  EXPECT_EQ(json.at("text"), "water");
  const LanguageModel model = open_language_model(folder_ / "model");
  const auto expected =
      embed_all(model, std::vector<std::vector<int32_t>>{embedding_ids(model, "", "water")})
          .front();
  EXPECT_EQ(json.at("embedding").get<std::vector<float>>(), expected);
}

TEST_F(Embed, VectorsGoIntoFiles) {
  const Outcome printed = run({"embed", "model", "water", "fire"});
  EXPECT_EQ(run({"embed", "model", "water", "fire", "--output", "out.jsonl"}).status, 0);
  EXPECT_EQ(read_file(folder_ / "out.jsonl"), printed.out);
  const Outcome matrix = run(
      {"embed", "model", "water", "fire", "--output", "out.npy", "--json", "--dimensions", "8"});
  EXPECT_EQ(parse_json(matrix.out, "report"),
            (Json{{"texts", 2}, {"tokens", 9}, {"dimensions", 8}}));
  const std::string bytes = read_file(folder_ / "out.npy");
  EXPECT_EQ(bytes.size() % 64, 0u);
  EXPECT_NE(bytes.find("(2, 8)"), std::string::npos);
  const Json whole = millrace_json({"embed", (folder_ / "model").string(), "water"});
  EXPECT_EQ(whole.at("embeddings").size(), 1u);
}

TEST_F(Embed, WrongArgumentsAreSaid) {
  for (const auto& [arguments, part] :
       {std::pair(std::vector<std::string>{"embed", "model"}, "--file"),
        std::pair(std::vector<std::string>{"embed", "model", "a", "--output", "x.csv"}, ".npy"),
        std::pair(std::vector<std::string>{"embed", "model", "a", "--dimensions", "33"}, "32"),
        std::pair(std::vector<std::string>{"embed", "model", "a", "--prompt-name", "query"},
                  "query"),
        std::pair(std::vector<std::string>{"embed", "model", "--file", "none.txt"}, "none.txt"),
        std::pair(std::vector<std::string>{"embed", "model", "--file", "bodies.jsonl"}, "text"),
        std::pair(std::vector<std::string>{"embed", "model", ""}, "no tokens"),
        std::pair(std::vector<std::string>{"rerank", "model", "a", "b", "--top-n", "-1"},
                  "--top-n")}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 1) << part;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Embed, RerankPutsTheNearestFirst) {
  const Outcome outcome =
      run({"rerank", "model", "water", "fire", "water", "air", "--top-n", "2", "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const Json results = parse_json(outcome.out, "results").at("results");
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].at("index"), 1);
  EXPECT_EQ(results[0].at("document"), "water");
  EXPECT_GT(results[0].at("relevance_score"), 0.999);
  const Outcome plain = run({"rerank", "model", "water", "--file", "texts.txt"});
  EXPECT_TRUE(plain.out.ends_with("fire\n")) << plain.out;
}

}  // namespace
}  // namespace millrace
