// SentencePiece's files and others without tokenizer.json: damaged ones, long texts, and where they
// are looked for.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/stream_decoder.h"
#include "millrace/text/tokenizer.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

const std::filesystem::path kModels =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/models";

/// Reads a model and uses the tokenizer; true when there is one.
bool accepts(const std::string& bytes) {
  const std::string source = "some/file";
  try {
    Tokenizer tokenizer(sentencepiece_definition(SentencePieceModel::parse(bytes, source), source),
                        source);
    tokenizer.decode(tokenizer.encode("the abc-123 中文 <s>\xff\n  e\u0301 ＡＢＣ"));
    tokenizer.to_json();
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(source + ": ")) << error.what();
    EXPECT_LT(std::strlen(error.what()), 1000u) << error.what();
    return false;
  }
}

TEST(SentencePieceModels, DamagedOnesAreRefusedOrValid) {
  int refused = 0;
  constexpr int kRounds = 400;
  for (const char* name : {"unigram.model", "bpe_symbols.model"}) {
    std::string whole = read_file(kModels / name);
    ASSERT_TRUE(accepts(whole));
    for (uint64_t seed = 0; seed < kRounds; ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} seed {}", name, seed));
      refused += accepts(mutate_binary(whole, random)) ? 0 : 1;
      refused += accepts(whole.substr(0, random.below(whole.size()))) ? 0 : 1;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(refused, kRounds / 4);
}

/// WordPiece with words of any length.
Tokenizer word_pieces() {
  const Json vocab = {{"[UNK]", 0}, {"a", 1},   {"##a", 2}, {"##aaaa", 3}, {"中", 4},
                      {"t", 5},     {"##h", 6}, {"##e", 7}, {"##the", 8}};
  return Tokenizer::from_json(
      {{"normalizer", {{"type", "BertNormalizer"}}},
       {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
       {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
       {"model",
        {{"type", "WordPiece"},
         {"unk_token", "[UNK]"},
         {"max_input_chars_per_word", 1 << 30},
         {"vocab", vocab}}}},
      Json(), "test");
}

/// A megabyte; a quadratic step would take many minutes.
TEST(SentencePieceModels, LongTextsOfOneCharacterTakeLinearTime) {
  std::vector<Tokenizer> tokenizers = {word_pieces()};
  for (const char* name : {"unigram.model", "unigram_bytes.model", "bpe.model", "bpe_symbols.model",
                           "openai_gpt.json"}) {
    tokenizers.push_back(load_tokenizer(kModels / name));
  }
  for (size_t i = 0; i < tokenizers.size(); ++i) {
    for (const char* piece : {"a", " ", "中", "\n", "\xff", "the", "e\u0301", "\U0001f600"}) {
      std::string text;
      while (text.size() < (size_t{1} << 20)) text += piece;
      const auto start = std::chrono::steady_clock::now();
      tokenizers[i].decode(tokenizers[i].encode(text));
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      EXPECT_LT(taken.count(), 60) << i << " " << piece;
    }
  }
}

class ModelFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("millrace-{}-{}", testing::UnitTest::GetInstance()->random_seed(),
                          std::chrono::steady_clock::now().time_since_epoch().count());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(ModelFolder, SaysWhatWasLookedFor) {
  try {
    load_tokenizer(folder_);
    FAIL();
  } catch (const Error& error) {
    std::string message = error.what();
    for (const char* name :
         {"tokenizer.json", "tokenizer.model", "tiktoken.model", "*.tiktoken", "vocab.txt"}) {
      EXPECT_NE(message.find(name), std::string::npos) << message;
    }
  }
}

TEST_F(ModelFolder, ReadsSentencePieceWithTheConfigurationBesideIt) {
  write_file(folder_ / "tokenizer.model", read_file(kModels / "bpe.model"));
  write_file(folder_ / "tokenizer_config.json",
             R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
                 "added_tokens_decoder": {"900": {"content": "<|im_start|>", "special": true}}})");
  Tokenizer tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer.token_id("<|im_start|>"), 900);
  std::vector<int32_t> ids = tokenizer.encode("<|im_start|>the");
  EXPECT_EQ(ids[0], tokenizer.bos());
  EXPECT_EQ(ids[1], 900);
  EXPECT_EQ(tokenizer.decode(ids, true), "the");
  // As text of a user it is no token.
  ids = tokenizer.encode("<|im_start|>the", {.add_special = false, .parse_special = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 900), 0);
}

TEST_F(ModelFolder, ReadsRanksAndVocabularies) {
  write_file(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\nwor\n##ld\n中\n");
  Tokenizer words = load_tokenizer(folder_);
  EXPECT_EQ(words.encode("Hello WÖRLD 中文"), (std::vector<int32_t>{2, 4, 5, 6, 7, 1, 3}));
  EXPECT_EQ(words.decode(std::vector<int32_t>{4, 5, 6}), "hello world");
  write_file(folder_ / "qwen.tiktoken", "YQ== 0\nYg== 1\nYWI= 2\nYWJh 3\n");
  Tokenizer ranks = load_tokenizer(folder_);
  EXPECT_EQ(ranks.encode("abab"), (std::vector<int32_t>{2, 2}));
  EXPECT_EQ(ranks.token_id("<|im_start|>"), 5);
  // Kimi's names every reserved token, and keeps Chinese apart from other letters.
  write_file(folder_ / "tiktoken.model", "5Lit 0\nYQ== 1\n5A== 2\nuA== 3\nrQ== 4\n5LitYQ== 5\n");
  Tokenizer kimi = load_tokenizer(folder_);
  EXPECT_EQ(kimi.encode("中a"), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(kimi.vocab_size(), 6 + 256);
  EXPECT_EQ(kimi.token_id("<|reserved_token_7|>"), 7);
  std::filesystem::remove(folder_ / "tiktoken.model");
  write_file(folder_ / "qwen.tiktoken", "YQ== 0\nnonsense\n");
  EXPECT_THROW(load_tokenizer(folder_), Error);
}

TEST(SentencePieceDecoding, StreamsAsItDecodes) {
  Tokenizer tokenizer = load_tokenizer(kModels / "bpe.model");
  std::vector<int32_t> ids = tokenizer.encode("the 𠮷 end");
  StreamDecoder begin(tokenizer), behind(tokenizer, true, TextPlace::kBehind);
  std::string first, second;
  for (int32_t id : ids) {
    first += begin.add(id);
    second += behind.add(id);
  }
  EXPECT_EQ(first, "the 𠮷 end");
  EXPECT_EQ(second, " the 𠮷 end");
  EXPECT_EQ(place_behind(tokenizer, ids), TextPlace::kBehind);
  EXPECT_EQ(place_behind(tokenizer, std::vector<int32_t>{tokenizer.bos()}), TextPlace::kBegin);
}

}  // namespace
}  // namespace millrace
