// Real vocabularies: the ids that llama.cpp's own tests expect.
#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "corpus.h"
#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/text/tokenizer.h"
#include "test_data.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

class Vocabulary : public testing::TestWithParam<const char*> {};

std::vector<std::string> split_texts(const std::string& content, const std::string& separator) {
  std::vector<std::string> texts;
  size_t at = 0;
  while (true) {
    size_t end = content.find(separator, at);
    texts.push_back(content.substr(at, end - at));
    if (end == std::string::npos) return texts;
    at = end + separator.size();
  }
}

TEST_P(Vocabulary, GivesTheExpectedIds) {
  std::filesystem::path path = vocabulary_file(GetParam());
  MILLRACE_REQUIRE_FILE(path);
  Tokenizer tokenizer = load_tokenizer(path);
  std::vector<std::string> texts =
      split_texts(read_file(path.string() + ".inp"), "\n__ggml_vocab_test__\n");
  std::istringstream lines(read_file(path.string() + ".out"));
  std::string line;
  size_t count = 0;
  while (std::getline(lines, line)) {
    ASSERT_LT(count, texts.size());
    const std::string& text = texts[count++];
    std::istringstream numbers(line);
    std::vector<int32_t> expected;
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer.encode(text, {.add_special = false}), expected) << text;
    // BERT's letters are small, and its spaces are gone.
    if (tokenizer.definition().kind == ModelKind::kWordPiece) continue;
    EXPECT_EQ(tokenizer.decode(expected), text);
  }
  EXPECT_EQ(count + 1, texts.size());  // a separator ends the file
}

INSTANTIATE_TEST_SUITE_P(Real, Vocabulary,
                         testing::Values("gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "falcon",
                                         "llama-spm", "phi-3", "bert-bge"));

/// GPT-2's vocabulary as the files that were before tokenizer.json.
class OldFiles : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path path = vocabulary_file("gpt-2");
    MILLRACE_REQUIRE_FILE(path);
    expected_ = load_tokenizer(path);
    const Json json = expected_->to_json();
    std::string merges = "#version: 0.2\n";
    for (const Json& merge : json["model"]["merges"]) {
      merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
    }
    Json vocab = json["model"]["vocab"];
    vocab["<|endoftext|>"] = 50256;
    write("vocab.json", to_json_text(vocab));
    write("merges.txt", merges);
  }
  void write(const std::string& name, const std::string& content) {
    write_file(folder_.path() / name, content);
  }

  ScratchFolder folder_;
  std::optional<Tokenizer> expected_;
};

TEST_F(OldFiles, OfMergesAreByteLevelTokenizers) {
  const Tokenizer got = load_tokenizer(folder_.path());
  for (const std::string& text : corpus_documents(64)) {
    EXPECT_EQ(got.encode(text), expected_->encode(text, {.add_special = false}));
  }
  EXPECT_EQ(got.encode("a<|endoftext|>"), (std::vector<int32_t>{64, 50256}));
  EXPECT_EQ(got.eos(), 50256);
}

TEST_F(OldFiles, SayWhatIsPutAroundATextByTheirClass) {
  write("tokenizer_config.json", R"({"bos_token": {"content": "<|endoftext|>"},
    "eos_token": "<|endoftext|>", "add_bos_token": true, "tokenizer_class": "GPT2Tokenizer"})");
  EXPECT_EQ(load_tokenizer(folder_.path()).encode("a"), (std::vector<int32_t>{50256, 64}));  // OPT
  write("added_tokens.json", R"({"[CLS]": 50257, "[gMASK]": 50258, "<|startofpiece|>": 50259})");
  write("tokenizer_config.json", R"({"cls_token": "[CLS]", "eos_token": "<|endoftext|>",
    "tokenizer_class": "GLMGPT2Tokenizer"})");
  EXPECT_EQ(load_tokenizer(folder_.path()).encode("a[gMASK]"),
            (std::vector<int32_t>{50257, 64, 50258, 50256}));
}

TEST_F(OldFiles, AreRefusedWhereTheyMakeNoSense) {
  write("tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer"})");
  EXPECT_THROW(load_tokenizer(folder_.path()), Error);  // has no <s>
  write("tokenizer_config.json", "{}");
  EXPECT_NO_THROW(load_tokenizer(folder_.path()));
  write("added_tokens.json", R"({"[CLS]": "x"})");
  EXPECT_THROW(load_tokenizer(folder_.path()), Error);
  write("added_tokens.json", "{}");
  for (const char* merges : {"a", "a b c", "a \xff", "a nosuchtoken"}) {
    write("merges.txt", merges);
    EXPECT_THROW(load_tokenizer(folder_.path()), Error) << merges;
  }
  std::filesystem::remove(folder_.path() / "merges.txt");
  EXPECT_THROW(load_tokenizer(folder_.path()), Error);
}

}  // namespace
}  // namespace millrace
