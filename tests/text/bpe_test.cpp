// Merging, held against the definition: the pair of lowest rank, leftmost, until none is left.
#include "millrace/text/bpe.h"

#include <gtest/gtest.h>

#include <map>

#include "millrace/base/error.h"
#include "millrace/base/random.h"

namespace millrace {
namespace {

/// A vocabulary of all bytes but 'z' and of random merges over a small alphabet.
TokenizerDefinition random_definition(uint64_t seed, int merges) {
  TokenizerDefinition definition;
  for (int byte = 0; byte < 256; ++byte) {
    definition.tokens.push_back(
        {std::string(1, static_cast<char>(byte)), TokenType::kNormal, byte != 'z'});
  }
  std::map<std::string, int32_t> ids;
  for (int byte = 'a'; byte <= 'c'; ++byte) ids[std::string(1, static_cast<char>(byte))] = byte;
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
      std::vector<int32_t> ids;
      bpe.encode(word, ids);
      ASSERT_EQ(ids, naive_encode(definition, word)) << word << ", seed " << seed;
    }
  }
}

TEST(Bpe, TakesWordsThatAreTokensWholeWhereMergesAreIgnored) {
  TokenizerDefinition definition = random_definition(1, 10);
  definition.tokens.push_back({"hello", TokenType::kNormal, true});
  auto hello = static_cast<int32_t>(definition.tokens.size() - 1);
  std::vector<int32_t> ids;
  Bpe(definition, "test").encode("hello", ids);
  EXPECT_EQ(ids.size(), 5u);  // no merge leads there
  ids.clear();
  definition.ignore_merges = true;
  Bpe(definition, "test").encode("hello", ids);
  EXPECT_EQ(ids, std::vector<int32_t>{hello});
}

TEST(Bpe, PutsTheUnknownTokenForBytesWithoutToken) {
  TokenizerDefinition definition = random_definition(1, 0);
  std::vector<int32_t> ids;
  Bpe(definition, "test").encode("azzb", ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'a', 'b'}));
  definition.unknown_byte = 0;
  ids.clear();
  Bpe(definition, "test").encode("azzb", ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'a', 0, 0, 'b'}));
  definition.fuse_unknown = true;
  ids.clear();
  Bpe(definition, "test").encode("azzb", ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'a', 0, 'b'}));
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
  std::vector<int32_t> ids;
  bpe.encode(std::string(4'000'000, 'a'), ids);
  EXPECT_EQ(ids, std::vector<int32_t>(4'000'000 / 64, left));
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
