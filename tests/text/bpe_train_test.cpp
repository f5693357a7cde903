#include "millrace/text/bpe_train.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "corpus.h"
#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/thread_pool.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

using Views = std::vector<std::string_view>;

Views views(const std::vector<std::string>& texts) {
  return Views(texts.begin(), texts.end());
}

std::vector<std::string> token_strings(const Tokenizer& tokenizer) {
  std::vector<std::string> strings;
  for (const Token& token : tokenizer.definition().tokens) strings.push_back(token.bytes);
  return strings;
}

/// Algorithm 1 of the paper as it stands, counting all pairs anew for each merge.
std::vector<std::pair<std::string, std::string>> naive_merges(const WordCounts& words,
                                                              size_t tokens) {
  std::vector<std::pair<std::vector<std::string>, int64_t>> corpus;
  words.for_each([&](std::string_view word, int64_t count) {
    corpus.emplace_back();
    for (char byte : word) corpus.back().first.emplace_back(1, byte);
    corpus.back().second = count;
  });
  std::vector<std::pair<std::string, std::string>> merges;
  std::map<std::string, bool> known;
  while (known.size() < tokens) {
    std::map<std::pair<std::string, std::string>, int64_t> counts;
    for (const auto& [word, count] : corpus) {
      for (size_t i = 0; i + 1 < word.size(); ++i) counts[{word[i], word[i + 1]}] += count;
    }
    std::pair<std::string, std::string> best;
    int64_t most = 1;  // pairs that occur once are not merged
    for (const auto& [pair, count] : counts) {
      if (count > most) {
        best = pair;
        most = count;
      }
    }
    if (most < 2) break;
    if (std::find(merges.begin(), merges.end(), best) == merges.end()) merges.push_back(best);
    known[best.first + best.second] = true;
    for (auto& [word, count] : corpus) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != best.first || word[i + 1] != best.second) continue;
        word[i] += word[i + 1];
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(BpeTrain, MergesWhatThePaperSays) {
  std::vector<std::string> documents = corpus_documents(12);
  BpeTrainOptions options;
  options.vocab_size = 256 + 150 + 3;
  options.whole_characters = false;
  WordCounts words;
  words.add(views(documents), PreTokenizer::named(options.pre_tokenizer, "test"));
  Tokenizer tokenizer = train_bpe(words, options);
  std::vector<std::pair<std::string, std::string>> merges;
  for (const Merge& merge : tokenizer.definition().merges) {
    merges.emplace_back(tokenizer.token_bytes(merge.left), tokenizer.token_bytes(merge.right));
  }
  EXPECT_EQ(merges, naive_merges(words, 150));
}

TEST(BpeTrain, BreaksTiesByBytes) {
  BpeTrainOptions options;
  options.vocab_size = 256 + 3 + 2;
  Tokenizer tokenizer = train_bpe(Views{"cd", "ab", "ax", "ab", "cd", "ax"}, options);
  EXPECT_EQ(tokenizer.token_bytes(256), "ab");
  EXPECT_EQ(tokenizer.token_bytes(257), "ax");
}

TEST(BpeTrain, DoesNotDependOnThreadsOrParts) {
  std::vector<std::string> documents = corpus_documents(100);
  BpeTrainOptions options;
  options.vocab_size = 1500;
  int threads = num_threads();
  set_num_threads(1);
  Json expected = train_bpe(views(documents), options).to_json();
  set_num_threads(5);
  EXPECT_EQ(train_bpe(views(documents), options).to_json(), expected);
  set_num_threads(threads);
  WordCounts words;
  PreTokenizer pre_tokenizer = PreTokenizer::named(options.pre_tokenizer, "test");
  for (auto document = documents.rbegin(); document != documents.rend(); ++document) {
    words.add(Views{*document}, pre_tokenizer);
  }
  EXPECT_EQ(train_bpe(words, options).to_json(), expected);
}

/// Whole characters, or bytes that one character can contain.
bool is_character_or_part(const std::string& bytes) {
  if (is_utf8(bytes) || bytes.size() == 1) return true;
  if (utf8_incomplete_length(bytes) == bytes.size()) return true;
  bool is_middle = bytes.size() < 4;
  for (char byte : bytes) is_middle = is_middle && (static_cast<uint8_t>(byte) & 0xc0) == 0x80;
  return is_middle;
}

TEST(BpeTrain, KeepsCharactersWhole) {
  std::vector<std::string> documents = corpus_documents(200);  // some are broken
  BpeTrainOptions options;
  options.vocab_size = 4000;
  Tokenizer tokenizer = train_bpe(views(documents), options);
  EXPECT_EQ(tokenizer.vocab_size(), 4000);
  size_t chinese = 0;
  for (const std::string& token : token_strings(tokenizer)) {
    EXPECT_TRUE(is_character_or_part(token)) << quote(token);
    chinese += token.starts_with("床前") ? 1 : 0;
  }
  EXPECT_GT(chinese, 0u);
  options.whole_characters = false;
  size_t mixed = 0;
  for (const std::string& token : token_strings(train_bpe(views(documents), options))) {
    mixed += is_character_or_part(token) ? 0 : 1;
  }
  EXPECT_GT(mixed, 0u);
}

TEST(BpeTrain, MakesACharacterATokenWhereAsked) {
  std::vector<std::string> documents = corpus_documents(200);
  BpeTrainOptions options;
  options.vocab_size = 4000;
  options.max_token_chars = 1;
  Tokenizer tokenizer = train_bpe(views(documents), options);
  EXPECT_EQ(tokenizer.encode("床前明月光，疑是地上霜。").size(), 12u);
  options.max_token_chars = 2;
  for (const std::string& token : token_strings(train_bpe(views(documents), options))) {
    if (token.starts_with("<|")) continue;
    auto chars = std::count_if(token.begin(), token.end(), [](char byte) {
      return (static_cast<uint8_t>(byte) & 0xc0) != 0x80;
    });
    EXPECT_LE(chars, 2) << token;
  }
}

TEST(BpeTrain, ReportsProgressAndStopsWithoutPairs) {
  int64_t last = 0;
  BpeTrainOptions options;
  options.vocab_size = 5000;
  Tokenizer tokenizer =
      train_bpe(Views{"banana banana", "bandana"}, options, [&](int64_t done, int64_t total) {
        EXPECT_EQ(total, 5000 - 3 - 256);
        EXPECT_GE(done, last);
        last = done;
      });
  EXPECT_EQ(tokenizer.vocab_size(), 256 + last + 3);
  EXPECT_GT(last, 2);
  EXPECT_LT(last, 20);
  EXPECT_EQ(train_bpe(Views{}, options).vocab_size(), 256 + 3);
}

TEST(BpeTrain, GivesSpecialTokensTheirRoles) {
  BpeTrainOptions options;
  options.vocab_size = 300;
  Tokenizer tokenizer = train_bpe(Views{"some text, some more text"}, options);
  int32_t size = tokenizer.vocab_size();
  EXPECT_EQ(tokenizer.eos(), size - 3);
  EXPECT_EQ(tokenizer.pad(), size - 3);
  EXPECT_EQ(tokenizer.eot(), size - 1);
  EXPECT_EQ(tokenizer.bos(), kNoToken);
  EXPECT_EQ(tokenizer.end_ids(), (std::vector<int32_t>{size - 3, size - 1}));
  EXPECT_EQ(tokenizer.encode("<|im_start|>"), std::vector<int32_t>{size - 2});
}

TEST(BpeTrain, RefusesImpossibleOptions) {
  auto refused = [](auto change) {
    BpeTrainOptions options;
    change(options);
    EXPECT_THROW(train_bpe(Views{"text"}, options), Error);
  };
  refused([](auto& options) { options.vocab_size = 258; });
  refused([](auto& options) { options.max_token_chars = -1; });
  refused([](auto& options) { options.pre_tokenizer = "nonsense"; });
  refused([](auto& options) { options.special_tokens.push_back("<|im_end|>"); });
  refused([](auto& options) { options.eos = "</s>"; });
  refused([](auto& options) { options.special_tokens.push_back(""); });
}

// tools/make_tokenizer_goldens.py opens this file with Hugging Face's tokenizers. To make it anew:
// MILLRACE_WRITE_GOLDENS=1 test_text --gtest_filter='*GivesTheGoldenTokenizer'
TEST(BpeTrain, GivesTheGoldenTokenizer) {
  std::filesystem::path path =
      std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/trained.json";
  BpeTrainOptions options;
  options.vocab_size = 1200;
  Tokenizer tokenizer = train_bpe(views(corpus_documents(64)), options);
  std::string text = to_json_text(tokenizer.to_json(), 1) + "\n";
  if (std::getenv("MILLRACE_WRITE_GOLDENS") != nullptr) write_file(path, text);
  EXPECT_TRUE(text == read_file(path));
}

}  // namespace
}  // namespace millrace
