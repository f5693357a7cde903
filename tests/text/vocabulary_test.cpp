// Real vocabularies: the ids that llama.cpp's own tests expect.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "millrace/base/file.h"
#include "millrace/text/tokenizer.h"
#include "test_data.h"

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

}  // namespace
}  // namespace millrace
