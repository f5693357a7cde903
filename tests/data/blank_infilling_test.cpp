#include "millrace/data/blank_infilling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "millrace/base/error.h"
#include "millrace/data/objective.h"
#include "tests/byte_tokenizer.h"

namespace millrace {
namespace {

constexpr int32_t kMask = 257, kSentenceMask = 258, kDocumentMask = 259, kStart = 260, kEnd = 261;
constexpr BlankTokens kTokens{kMask, kSentenceMask, kDocumentMask, kStart, kEnd};

std::vector<int32_t> ids_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

size_t hidden_tokens(std::span<const TokenSpan> spans) {
  size_t hidden = 0;
  for (const TokenSpan& span : spans) hidden += span.length();
  return hidden;
}

// Figure 2 of Du et al. 2022: x1 … x6 with the spans x3 and x5 x6, here behind a token that begins
// the text and before one that ends it.
TEST(BlankInfilling, TellsSpansBehindTheTextAtThePositionsOfTheirMasks) {
  const std::vector<int32_t> begin = {50}, body = {1, 2, 3, 4, 5, 6}, end = {51};
  const std::vector<TokenSpan> spans = {{2, 3}, {4, 6}};
  Random random(1);
  std::set<bool> orders;
  for (int i = 0; i < 30; ++i) {
    const Example example = filled_blanks({begin, body, end}, spans, kMask, kTokens, random);
    ASSERT_EQ(example.prefix, 7);
    std::vector<int32_t> inputs = {50, 1, 2, kMask, 4, kMask, 51};
    std::vector<int32_t> targets(7, -1), positions = {0, 1, 2, 3, 4, 5, 6}, block(7, 0);
    const bool last_first = example.inputs[8] == 5;
    orders.insert(last_first);
    if (last_first) {
      for (int32_t id : {kStart, 5, 6, kStart, 3}) inputs.push_back(id);
      for (int32_t id : {5, 6, kEnd, 3, kEnd}) targets.push_back(id);
      for (int32_t place : {5, 5, 5, 3, 3}) positions.push_back(place);
      for (int32_t place : {1, 2, 3, 1, 2}) block.push_back(place);
    } else {
      for (int32_t id : {kStart, 3, kStart, 5, 6}) inputs.push_back(id);
      for (int32_t id : {3, kEnd, 5, 6, kEnd}) targets.push_back(id);
      for (int32_t place : {3, 3, 5, 5, 5}) positions.push_back(place);
      for (int32_t place : {1, 2, 1, 2, 3}) block.push_back(place);
    }
    EXPECT_EQ(example.inputs, inputs);
    EXPECT_EQ(example.targets, targets);
    EXPECT_EQ(example.text_positions, positions);
    EXPECT_EQ(example.block_positions, block);
  }
  EXPECT_EQ(orders.size(), 2u);
}

TEST(BlankSpans, HideTheRateInSpansOfPoissonLengths) {
  Random random(2);
  std::map<size_t, int> lengths;
  int spans_drawn = 0;
  for (int i = 0; i < 400; ++i) {
    const std::vector<TokenSpan> spans = blank_spans(400, 0.15, 3, random);
    const size_t hidden = hidden_tokens(spans);
    ASSERT_GE(hidden, 60u);
    ASSERT_LT(hidden - spans.back().length(), 400u);
    size_t end = 0;
    for (size_t s = 0; s < spans.size(); ++s) {
      if (s > 0) {
        ASSERT_GT(spans[s].begin, end);
      }
      end = spans[s].end;
      ++lengths[spans[s].length()];
      ++spans_drawn;
    }
    ASSERT_LE(end, 400u);
  }
  // 3^k / k! / (e^3 − 1).
  const double all = spans_drawn;
  EXPECT_NEAR(lengths[1] / all, 0.1572, 0.015);
  EXPECT_NEAR(lengths[2] / all, 0.2358, 0.015);
  EXPECT_NEAR(lengths[3] / all, 0.2358, 0.015);
  EXPECT_NEAR(lengths[6] / all, 0.0531, 0.01);
}

TEST(BlankSpans, FitIntoShortTexts) {
  Random random(3);
  EXPECT_TRUE(blank_spans(0, 0.15, 3, random).empty());
  EXPECT_EQ(blank_spans(1, 0.15, 3, random), (std::vector<TokenSpan>{{0, 1}}));
  for (int i = 0; i < 500; ++i) {
    const size_t length = 1 + random.below(12);
    const std::vector<TokenSpan> spans = blank_spans(length, random.uniform(), 3, random);
    ASSERT_FALSE(spans.empty());
    for (size_t s = 0; s < spans.size(); ++s) {
      ASSERT_LT(spans[s].begin, spans[s].end);
      ASSERT_LE(spans[s].end, length);
      if (s > 0) {
        ASSERT_GT(spans[s].begin, spans[s - 1].end);
      }
    }
  }
}

TEST(BlankSpans, LieAnywhere) {
  Random random(4);
  std::set<size_t> begins;
  for (int i = 0; i < 400; ++i) begins.insert(blank_spans(20, 0.05, 1, random).front().begin);
  EXPECT_GE(begins.size(), 19u);
  EXPECT_TRUE(begins.contains(0));
}

TEST(BlankSentences, AreWhole) {
  const Tokenizer tokenizer = byte_tokenizer();
  const std::vector<int32_t> text = ids_of("One. Two two! Three three three? Four");
  const std::set<size_t> begins = {0, 4, 13, 32}, ends = {4, 13, 32, 37};
  Random random(5);
  std::set<size_t> seen;
  for (int i = 0; i < 100; ++i) {
    const std::vector<TokenSpan> spans = blank_sentences(text, tokenizer, 0.3, random);
    ASSERT_GE(hidden_tokens(spans), 11u);
    for (const TokenSpan& span : spans) {
      ASSERT_TRUE(begins.contains(span.begin) && ends.contains(span.end));
      seen.insert(span.begin);
    }
    ASSERT_TRUE(std::is_sorted(spans.begin(), spans.end(),
                               [](const auto& a, const auto& b) { return a.begin < b.begin; }));
  }
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_TRUE(blank_sentences({}, tokenizer, 0.3, random).empty());
}

TEST(BlankDocument, IsHalfAndMoreAndOftenTheLastPart) {
  Random random(6);
  int last = 0;
  std::set<size_t> lengths;
  for (int i = 0; i < 1000; ++i) {
    const TokenSpan span = blank_document(100, random);
    ASSERT_GE(span.length(), 50u);
    ASSERT_LE(span.end, 100u);
    lengths.insert(span.length());
    last += span.end == 100;
  }
  EXPECT_EQ(lengths.size(), 51u);
  EXPECT_GT(last, 480);
  EXPECT_LT(last, 620);
  EXPECT_EQ(blank_document(1, random), (TokenSpan{0, 1}));
}

class BlankObjective : public testing::Test {
 protected:
  BlankObjective()
      : objective_({.kind = ObjectiveKind::blank_infilling},
                   byte_tokenizer({"<|endoftext|>", "[MASK]", "[sMASK]", "[gMASK]",
                                   "<|startofpiece|>", "<|endofpiece|>"})) {}

  Objective objective_;
};

TEST_F(BlankObjective, NothingIsLost) {
  Random random(7), bytes(8);
  std::map<int32_t, int> masks;
  for (int i = 0; i < 1000; ++i) {
    std::vector<int32_t> ids(2 + bytes.below(120));
    for (int32_t& id : ids) id = static_cast<int32_t>(bytes.below(256));
    ids.back() = kEndOfText;
    const Example example = objective_.example(ids, random);
    const size_t count = example.inputs.size();
    const auto prefix = static_cast<size_t>(example.prefix);
    ASSERT_LE(static_cast<int64_t>(count),
              objective_.most_inputs(static_cast<int64_t>(ids.size())));
    ASSERT_TRUE(example.targets.size() == count && example.text_positions.size() == count &&
                example.block_positions.size() == count);
    // By its positions each told token finds its place in the text.
    std::vector<int32_t> restored;
    for (size_t p = 0; p < prefix; ++p) {
      ASSERT_EQ(example.targets[p], -1);
      if (example.inputs[p] <= kEndOfText) {
        restored.push_back(example.inputs[p]);
        continue;
      }
      if (p == 0 || restored.size() == p) ++masks[example.inputs[p]];
      for (size_t row = prefix; row < count; ++row) {
        if (example.text_positions[row] != static_cast<int32_t>(p)) continue;
        ASSERT_EQ(example.inputs[row] == kStart, example.block_positions[row] == 1);
        if (example.targets[row] != kEnd) restored.push_back(example.targets[row]);
      }
    }
    ASSERT_EQ(restored, ids);
  }
  EXPECT_NEAR(masks[kMask], 400, 60);
  EXPECT_NEAR(masks[kSentenceMask], 300, 60);
  EXPECT_NEAR(masks[kDocumentMask], 300, 60);
}

TEST_F(BlankObjective, IsAFunctionOfItsRandomNumbers) {
  const std::vector<int32_t> ids = ids_of("Sleeping in spring, one does not notice the dawn.");
  Random one(9), same(9), other(10);
  const Example example = objective_.example(ids, one);
  EXPECT_EQ(objective_.example(ids, same).inputs, example.inputs);
  EXPECT_NE(objective_.example(ids, other).inputs, example.inputs);
}

TEST_F(BlankObjective, ATextWithoutTokensHasNothingToTell) {
  Random random(11);
  const Example example = objective_.example(std::vector<int32_t>{kEndOfText, kEndOfText}, random);
  EXPECT_EQ(example.inputs, (std::vector<int32_t>{kEndOfText, kEndOfText}));
  EXPECT_EQ(example.targets, (std::vector<int32_t>{-1, -1}));
}

}  // namespace
}  // namespace millrace
