// Training a unigram tokenizer: what it gives is small, compresses, and keeps every text.
#include "millrace/text/unigram_train.h"

#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

WordCounts corpus_words(size_t documents) {
  std::vector<std::string> texts = corpus_documents(documents);
  WordCounts words;
  words.add(std::vector<std::string_view>(texts.begin(), texts.end()), unigram_training_words());
  return words;
}

UnigramTrainOptions small_options(int32_t vocab_size) {
  UnigramTrainOptions options;
  options.vocab_size = vocab_size;
  options.character_coverage = 0.9;
  return options;
}

/// What comes back of a text: SentencePiece's symbol for a space is a space.
std::string with_spaces(std::string text) {
  for (size_t at; (at = text.find(kSpaceSymbol)) != std::string::npos;) {
    text.replace(at, kSpaceSymbol.size(), " ");
  }
  return text;
}

TEST(UnigramTrain, GivesPiecesThatCompressAndKeepEveryText) {
  Tokenizer tokenizer = train_unigram(corpus_words(64), small_options(1500));
  EXPECT_EQ(tokenizer.vocab_size(), 1500);
  Tokenizer reloaded = Tokenizer::from_json(tokenizer.to_json(), tokenizer.config_json(), "saved");
  EXPECT_EQ(reloaded.eos(), tokenizer.eos());
  size_t bytes = 0, tokens = 0;
  for (const std::string& document : corpus_documents(96)) {
    std::vector<int32_t> ids = tokenizer.encode(document, {.parse_special = false});
    EXPECT_EQ(tokenizer.decode(ids), with_spaces(document));
    EXPECT_EQ(reloaded.encode(document, {.parse_special = false}), ids);
    bytes += document.size();
    tokens += ids.size();
  }
  EXPECT_LT(tokens * 2, bytes);
}

TEST(UnigramTrain, FindsTheWordsOfAText) {
  std::vector<std::string> lines;
  for (int i = 0; i < 50; ++i) {
    lines.push_back("the water mill turns the heavy stone and the stone grinds corn " +
                    std::to_string(i));
  }
  WordCounts words;
  words.add(std::vector<std::string_view>(lines.begin(), lines.end()), unigram_training_words());
  UnigramTrainOptions options;
  options.vocab_size = 330;
  Tokenizer tokenizer = train_unigram(words, options);
  for (const char* word : {"▁the", "▁stone", "▁water"}) {
    EXPECT_NE(tokenizer.token_id(word), kNoToken) << word;
  }
  EXPECT_EQ(tokenizer.encode("the stone").size(), 2u);
}

TEST(UnigramTrain, DoesNotDependOnTheNumberOfThreads) {
  WordCounts words = corpus_words(16);
  const int before = num_threads();
  set_num_threads(1);
  Json one = train_unigram(words, small_options(900)).to_json();
  set_num_threads(2);
  Json two = train_unigram(words, small_options(900)).to_json();
  set_num_threads(before);
  EXPECT_TRUE(one == two);
}

TEST(UnigramTrain, RefusesOptionsThatCannotBeMet) {
  WordCounts words = corpus_words(1);
  UnigramTrainOptions options;
  options.vocab_size = 100;
  EXPECT_THROW(train_unigram(words, options), Error);
  options = {};
  options.eos = "<none>";
  EXPECT_THROW(train_unigram(words, options), Error);
  options = {};
  options.shrinking_factor = 1;
  EXPECT_THROW(train_unigram(words, options), Error);
}

}  // namespace
}  // namespace millrace
