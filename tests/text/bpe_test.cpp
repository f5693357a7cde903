// Merging, held against the definition: the pair of lowest rank, leftmost, until none is left.
#include "millrace/text/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "millrace/base/error.h"
#include "millrace/base/random.h"

namespace millrace {
namespace {

std::vector<int32_t> encode(const Bpe& bpe, std::string_view word) {
  std::vector<int32_t> ids;
  TextRange whole{0, word.size()};
  bpe.encode(word, {&whole, 1}, ids);
  return ids;
}

/// A vocabulary of all bytes but `absent` and of random merges over the bytes of `alphabet`.
TokenizerDefinition random_definition(uint64_t seed, int merges, std::string_view alphabet = "abc",
                                      int absent = 'z') {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte) {
    definition.tokens.push_back(
        {std::string(1, static_cast<char>(byte)), TokenType::kNormal, byte != absent});
  }
  std::map<std::string, int32_t> ids;
  for (char byte : alphabet) ids[std::string(1, byte)] = static_cast<uint8_t>(byte);
  std::map<std::pair<int32_t, int32_t>, bool> seen;
  Random random(seed);
  while (static_cast<int>(definition.merges.size()) < merges) {
    auto any = [&] {
      return std::next(ids.begin(), static_cast<std::ptrdiff_t>(random.below(ids.size())));
    };
    auto [left, left_id] = *any();
    auto [right, right_id] = *any();
    if (left.size() + right.size() > 12 || seen[{left_id, right_id}]) continue;
    seen[{left_id, right_id}] = true;
    auto [found, is_new] =
        ids.emplace(left + right, static_cast<int32_t>(definition.tokens.size()));
    if (is_new) definition.tokens.push_back({left + right, TokenType::kNormal, true});
    definition.merges.push_back({left_id, right_id, found->second});
  }
  return definition;
}

std::vector<int32_t> naive_encode(const TokenizerDefinition& definition, std::string_view word) {
  std::map<std::pair<int32_t, int32_t>, size_t> ranks;
  for (size_t i = 0; i < definition.merges.size(); ++i) {
    ranks[{definition.merges[i].left, definition.merges[i].right}] = i;
  }
  std::vector<int32_t> ids;
  for (char c : word) {
    if (c != 'z') ids.push_back(static_cast<uint8_t>(c));
  }
  while (true) {
    size_t best = definition.merges.size();
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      auto found = ranks.find({ids[i], ids[i + 1]});
      if (found != ranks.end() && found->second < best) {
        best = found->second;
        at = i;
      }
    }
    if (best == definition.merges.size()) return ids;
    ids[at] = definition.merges[best].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, MergesByRankThenPosition) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    TokenizerDefinition definition = random_definition(seed, 60);
    Bpe bpe(definition, "test");
    Random random(seed + 100);
    for (int round = 0; round < 300; ++round) {
      // Words on both sides of where the algorithm changes.
      std::string word;
      for (uint64_t size = 1 + random.below(random.below(8) == 0 ? 400 : 30); size > 0; --size) {
        word += "aaabbcxz"[random.below(8)];
      }
      ASSERT_EQ(encode(bpe, word), naive_encode(definition, word)) << word << ", seed " << seed;
    }
  }
}

// Merging begins with whole characters where their neighbours allow it. Few different bytes make
// many vocabularies in which they do not; broken characters are among the words too.
TEST(Bpe, MergesCharactersAsTheirBytes) {
  const std::vector<std::string> kPieces = {"中", "丮", "歮", "é",    "Ã",
                                            "。", "a",  " ",  "\xad", "\xe4"};
  for (uint64_t seed = 0; seed < 60; ++seed) {
    TokenizerDefinition definition =
        random_definition(seed, 10 + static_cast<int>(seed) * 4,
                          "\xe4\xb8\xad\xae\xe6\xc3\xa9\x83\xe3\x80\x82 a", -1);
    Bpe bpe(definition, "test");
    Random random(seed + 200);
    for (int round = 0; round < 300; ++round) {
      std::string word;
      uint64_t kinds = random.below(2) == 0 ? 6 : kPieces.size();
      for (uint64_t size = 1 + random.below(random.below(8) == 0 ? 150 : 9); size > 0; --size) {
        word += kPieces[random.below(kinds)];
      }
      ASSERT_EQ(encode(bpe, word), naive_encode(definition, word)) << word << ", seed " << seed;
    }
  }
}

// What a merge gives need not be what its parts spell.
TEST(Bpe, FollowsMergesThatGiveOtherTokens) {
  TokenizerDefinition definition = random_definition(1, 0, "abc", -1);
  auto id = [](char byte) { return static_cast<int32_t>(static_cast<uint8_t>(byte)); };
  definition.merges.push_back({id('\xe4'), id('\xb8'), id('x')});
  definition.merges.push_back({id('x'), id('\xad'), id('y')});
  EXPECT_EQ(encode(Bpe(definition, "test"), "中中"), (std::vector<int32_t>{'y', 'y'}));
  EXPECT_EQ(naive_encode(definition, "中中"), (std::vector<int32_t>{'y', 'y'}));
}

TEST(Bpe, TakesWordsThatAreTokensWholeWhereMergesAreIgnored) {
  TokenizerDefinition definition = random_definition(1, 10);
  definition.tokens.push_back({"hello", TokenType::kNormal, true});
  auto hello = static_cast<int32_t>(definition.tokens.size() - 1);
  EXPECT_EQ(encode(Bpe(definition, "test"), "hello").size(), 5u);  // no merge leads there
  definition.ignore_merges = true;
  EXPECT_EQ(encode(Bpe(definition, "test"), "hello"), std::vector<int32_t>{hello});
}

TEST(Bpe, PutsTheUnknownTokenForBytesWithoutToken) {
  TokenizerDefinition definition = random_definition(1, 0);
  EXPECT_EQ(encode(Bpe(definition, "test"), "azzb"), (std::vector<int32_t>{'a', 'b'}));
  definition.unknown = 0;
  EXPECT_EQ(encode(Bpe(definition, "test"), "azzb"), (std::vector<int32_t>{'a', 0, 0, 'b'}));
  definition.fuse_unknown = true;
  EXPECT_EQ(encode(Bpe(definition, "test"), "azzb"), (std::vector<int32_t>{'a', 0, 'b'}));
}

// A quadratic algorithm would take 10^13 steps.
TEST(Bpe, EncodesLongRuns) {
  TokenizerDefinition definition = random_definition(2, 0);
  int32_t left = 'a';
  for (int i = 0; i < 6; ++i) {
    auto result = static_cast<int32_t>(definition.tokens.size());
    definition.tokens.push_back({std::string(size_t{2} << i, 'a'), TokenType::kNormal, true});
    definition.merges.push_back({left, left, result});
    left = result;
  }
  Bpe bpe(definition, "test");
  EXPECT_EQ(encode(bpe, std::string(4'000'000, 'a')), std::vector<int32_t>(4'000'000 / 64, left));
}

TEST(Bpe, RefusesMergesOfNoTokens) {
  TokenizerDefinition definition = random_definition(1, 5);
  definition.merges[3].result = static_cast<int32_t>(definition.tokens.size());
  EXPECT_THROW(Bpe(definition, "test"), Error);
  definition.merges[3].result = -1;
  EXPECT_THROW(Bpe(definition, "test"), Error);
}

}  // namespace
}  // namespace millrace
