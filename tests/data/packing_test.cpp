#include "millrace/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/random.h"

namespace millrace {
namespace {

/// Documents of 0 to `longest` tokens; token t of document d is 100 d + t.
TokenDataset numbered_documents(int count, uint64_t longest) {
  Random random(3);
  std::vector<Document> documents(static_cast<size_t>(count));
  for (int d = 0; d < count; ++d) {
    auto& tokens = documents[static_cast<size_t>(d)].tokens;
    tokens.resize(random.below(longest + 1));
    std::iota(tokens.begin(), tokens.end(), 100 * d);
  }
  return TokenDataset(documents);
}

TEST(Packing, LongDocumentsAreCutIntoEvenPieces) {
  std::vector<Document> documents = {
      {std::vector<int32_t>(11), {}}, {{5}, {}}, {{}, {}}, {{1, 2}, {}}};
  TokenDataset dataset(documents);
  EXPECT_EQ(make_pieces(dataset, 4, LongDocuments::cut),
            (std::vector<Piece>{{0, 0, 3}, {0, 3, 6}, {0, 6, 10}, {3, 0, 1}}));
  EXPECT_EQ(make_pieces(dataset, 10, LongDocuments::cut),
            (std::vector<Piece>{{0, 0, 10}, {3, 0, 1}}));
  EXPECT_EQ(make_pieces(dataset, 4, LongDocuments::truncate),
            (std::vector<Piece>{{0, 0, 4}, {3, 0, 1}}));
}

TEST(Packing, PiecesWithNothingToScoreAreLeftOut) {
  // The flag of a token says whether it is a target: token 0 never is one.
  std::vector<Document> documents = {{{1, 2, 3, 4, 5}, {1, 0, 0, 1, 0}}, {{1, 2}, {1, 0}}};
  TokenDataset dataset(documents);
  EXPECT_EQ(make_pieces(dataset, 2, LongDocuments::cut), (std::vector<Piece>{{0, 2, 4}}));
  EXPECT_TRUE(make_pieces(dataset, 2, LongDocuments::truncate).empty());
}

TEST(Packing, BatchesHoldInputsPositionsBoundariesAndTargets) {
  std::vector<Document> documents = {{{1, 2, 3, 4}, {}}, {{5, 6, 7}, {0, 0, 1}}};
  TokenDataset dataset(documents);
  std::vector<Piece> pieces = {{1, 0, 2}, {0, 1, 3}};
  PackedBatch batch = pack(dataset, pieces, 8);
  EXPECT_EQ(batch.inputs.tokens, (std::vector<int32_t>{5, 6, 2, 3}));
  EXPECT_EQ(batch.targets, (std::vector<int32_t>{-1, 7, 3, 4}));
  EXPECT_EQ(batch.inputs.positions, (std::vector<int32_t>{0, 1, 0, 1}));
  EXPECT_EQ(batch.inputs.sequence_begin, (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(count_scored(dataset, pieces), 3);
  EXPECT_THROW(pack(dataset, pieces, 7), Error);  // 7 is a target only
  EXPECT_THROW(
      pack(TokenDataset(std::vector<Document>{{{-1, 0}, {}}}), std::vector<Piece>{{0, 0, 1}}, 8),
      Error);
}

TEST(Packing, EveryTargetIsSeenOnceAnEpoch) {
  TokenDataset dataset = numbered_documents(60, 50);
  std::vector<Piece> pieces = make_pieces(dataset, 16, LongDocuments::cut);
  PieceStream stream(pieces, 1);
  std::map<int32_t, int> seen;
  size_t given = 0;
  while (given < 2 * pieces.size()) {
    std::vector<Piece> step = stream.next_step(64);
    for (const Piece& piece : step) {
      if (given++ >= 2 * pieces.size()) continue;
      for (int32_t target : pack(dataset, std::vector<Piece>{piece}, 1 << 20).targets) {
        ++seen[target];
      }
    }
  }
  int64_t targets = 0;
  for (int64_t d = 0; d < dataset.num_documents(); ++d) {
    targets += std::max<int64_t>(static_cast<int64_t>(dataset.tokens(d).size()) - 1, 0);
  }
  EXPECT_EQ(static_cast<int64_t>(seen.size()), targets);
  for (const auto& [target, count] : seen) EXPECT_EQ(count, 2) << target;
}

TEST(Packing, StepsKeepToTheirBudgetAndSplitInOrder) {
  TokenDataset dataset = numbered_documents(60, 50);
  PieceStream stream(make_pieces(dataset, 16, LongDocuments::cut), 1);
  for (int i = 0; i < 20; ++i) {
    std::vector<Piece> step = stream.next_step(100);
    auto length = [](std::span<const Piece> part) {
      int64_t total = 0;
      for (const Piece& piece : part) total += piece.length();
      return total;
    };
    EXPECT_LE(length(step), 100);
    EXPECT_GT(length(step), 100 - 16);
    std::vector<Piece> joined;
    for (std::span<const Piece> part : split_step(step, 40)) {
      EXPECT_LE(length(part), 40);
      joined.insert(joined.end(), part.begin(), part.end());
    }
    EXPECT_EQ(joined, step);
    EXPECT_EQ(split_step(step, 100).size(), 1u);
    EXPECT_EQ(split_step(step, 1).size(), step.size());
  }
}

TEST(Packing, ACursorResumesTheStream) {
  TokenDataset dataset = numbered_documents(30, 40);
  std::vector<Piece> pieces = make_pieces(dataset, 16, LongDocuments::cut);
  PieceStream whole(pieces, 5);
  for (int i = 0; i < 40; ++i) {
    PieceStream resumed(pieces, 5, whole.cursor());
    EXPECT_EQ(resumed.next_step(50), whole.next_step(50));
    EXPECT_EQ(resumed.cursor(), whole.cursor());
  }
  EXPECT_GT(whole.cursor().epoch, 1);
}

TEST(Packing, OrdersDifferByEpochAndSeed) {
  std::vector<Piece> pieces = make_pieces(numbered_documents(50, 40), 16, LongDocuments::cut);
  auto first = [&](uint64_t seed, int64_t epoch) {
    return PieceStream(pieces, seed, {epoch, 0}).next_step(1000);
  };
  EXPECT_EQ(first(1, 0), first(1, 0));
  EXPECT_NE(first(1, 0), first(1, 1));
  EXPECT_NE(first(1, 0), first(2, 0));
}

TEST(Packing, StepsOfAnEpochAreCounted) {
  TokenDataset dataset = numbered_documents(60, 50);
  PieceStream stream(make_pieces(dataset, 16, LongDocuments::cut), 1);
  int64_t steps = count_steps(stream, 100, 1.5);
  EXPECT_EQ(stream.cursor(), DataCursor{});
  double target = 1.5 * static_cast<double>(stream.pieces().size());
  auto seen = [&] {
    return static_cast<double>(stream.cursor().epoch) * target / 1.5 +
           static_cast<double>(stream.cursor().index);
  };
  for (int64_t i = 1; i < steps; ++i) stream.next_step(100);
  EXPECT_LT(seen(), target);
  stream.next_step(100);
  EXPECT_GE(seen(), target);
}

TEST(Packing, EmptyDataAndForeignCursorsAreErrors) {
  EXPECT_THROW(PieceStream({}, 1), Error);
  std::vector<Piece> pieces = {{0, 0, 3}};
  EXPECT_THROW(PieceStream(pieces, 1, {0, 2}), Error);
  EXPECT_THROW(PieceStream(pieces, 1, {-1, 0}), Error);
}

}  // namespace
}  // namespace millrace
