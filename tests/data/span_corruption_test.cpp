#include "millrace/data/span_corruption.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "millrace/base/error.h"
#include "millrace/data/objective.h"
#include "tests/byte_tokenizer.h"

namespace millrace {
namespace {

size_t hidden_tokens(std::span<const TokenSpan> spans) {
  size_t hidden = 0;
  for (const TokenSpan& span : spans) hidden += span.length();
  return hidden;
}

// The numbers are those of NumPy for round(0.15 n), round(min(noise, n - noise) / 3).
TEST(NoiseSpans, HideAsManyTokensInAsManySpansAsT5) {
  struct Case {
    size_t length, noise, spans;
  };
  Random random(1);
  for (const Case& c : {Case{2, 1, 1},
                        {5, 1, 1},
                        {10, 2, 1},
                        {30, 4, 1},
                        {31, 5, 2},
                        {50, 8, 3},
                        {70, 10, 3},
                        {100, 15, 5},
                        {512, 77, 26},
                        {568, 85, 28}}) {
    const std::vector<TokenSpan> spans = noise_spans(c.length, 0.15, 3, random);
    EXPECT_EQ(spans.size(), c.spans) << c.length;
    EXPECT_EQ(count_noise_spans(c.length, 0.15, 3), c.spans) << c.length;
    EXPECT_EQ(hidden_tokens(spans), c.noise) << c.length;
  }
  EXPECT_EQ(count_noise_spans(100, 0.9, 3), 3u);  // as many as what is kept has parts
  EXPECT_EQ(hidden_tokens(noise_spans(100, 1, 3, random)), 99u);
  EXPECT_EQ(hidden_tokens(noise_spans(100, 0, 3, random)), 1u);
  EXPECT_EQ(noise_spans(1, 0.15, 3, random), (std::vector<TokenSpan>{{0, 1}}));
  EXPECT_TRUE(noise_spans(0, 0.15, 3, random).empty());
}

TEST(NoiseSpans, BeginBehindWhatIsKeptAndEndTheText) {
  Random random(2);
  for (int i = 0; i < 300; ++i) {
    const size_t length = 2 + random.below(80);
    const std::vector<TokenSpan> spans = noise_spans(length, 0.4, 2, random);
    size_t end = 0;
    for (const TokenSpan& span : spans) {
      ASSERT_GT(span.begin, end);  // something is kept before each
      ASSERT_GT(span.end, span.begin);
      end = span.end;
    }
    ASSERT_EQ(end, length);
  }
}

// 6 hidden tokens in 2 spans and 6 kept ones: 5 · 5 ways, all with the same probability.
TEST(NoiseSpans, EveryWayIsDrawnAsOften) {
  Random random(3);
  std::map<std::pair<size_t, size_t>, int> ways;
  constexpr int kDraws = 25000;
  for (int i = 0; i < kDraws; ++i) {
    const std::vector<TokenSpan> spans = noise_spans(12, 0.5, 3, random);
    ASSERT_EQ(spans.size(), 2u);
    ++ways[{spans[0].begin, spans[0].length()}];
  }
  EXPECT_EQ(ways.size(), 25u);
  for (const auto& [way, count] : ways) EXPECT_NEAR(count, kDraws / 25, 160);
}

// The example of Raffel et al. 2020, words being tokens: "Thank you <X> me to your party <Y> week".
TEST(SpanCorruption, PutsSentinelsInThePlaceOfSpansAndTellsThem) {
  std::vector<int32_t> text(11);
  std::iota(text.begin(), text.end(), 0);  // Thank you for inviting me to your party last week .
  const std::vector<TokenSpan> spans = {{2, 4}, {8, 9}};
  const Example example = corrupted_spans({{}, text, {}}, spans, {{90, 91, 92}, 80, 70});
  EXPECT_EQ(example.prefix, 11);
  EXPECT_EQ(example.inputs,
            (std::vector<int32_t>{0, 1, 90, 4, 5, 6, 7, 91, 9, 10, 80, 70, 90, 2, 3, 91, 8}));
  EXPECT_EQ(example.targets, (std::vector<int32_t>{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 90,
                                                   2, 3, 91, 8, 80}));
  // Without a start, the end of the source tells the first sentinel.
  const Example joined = corrupted_spans({{}, text, {}}, spans, {{90, 91, 92}, 80, -1});
  EXPECT_EQ(joined.prefix, 11);
  EXPECT_EQ(joined.inputs[11], 90);
  EXPECT_EQ(joined.targets[10], 90);
  EXPECT_EQ(joined.targets.back(), 80);
  EXPECT_THROW(corrupted_spans({{}, text, {}}, spans, {{90}, 80, 70}), Error);
}

class SpanObjective : public testing::Test {
 protected:
  SpanObjective() {
    std::vector<std::string> special = {"<|endoftext|>"};
    for (int i = 0; i < kSentinels; ++i) special.push_back("<extra_id_" + std::to_string(i) + ">");
    tokenizer_ = std::make_unique<Tokenizer>(byte_tokenizer(special));
    objective_ = std::make_unique<Objective>(
        ObjectiveOptions{.kind = ObjectiveKind::span_corruption, .decoder_start = kStart},
        *tokenizer_);
  }

  /// The text with the spans of the target in the place of its sentinels.
  static std::vector<int32_t> restored(const Example& example) {
    const auto target = example.targets.begin() + example.prefix;
    std::vector<int32_t> text;
    for (int64_t i = 0; i < example.prefix; ++i) {
      const int32_t id = example.inputs[static_cast<size_t>(i)];
      if (id <= kEndOfText) {
        text.push_back(id);
        continue;
      }
      auto place = std::find(target, example.targets.end(), id);
      for (++place; *place < kEndOfText; ++place) text.push_back(*place);
    }
    return text;
  }

  static constexpr int kSentinels = 20;
  static constexpr int32_t kStart = 300;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Objective> objective_;
};

TEST_F(SpanObjective, NothingIsLost) {
  Random random(4), bytes(5);
  size_t hidden = 0, all = 0;
  for (int i = 0; i < 300; ++i) {
    std::vector<int32_t> ids(1 + bytes.below(300));
    for (int32_t& id : ids) id = static_cast<int32_t>(bytes.below(256));
    const size_t length = ids.size();
    if (i % 2 == 0) ids.push_back(kEndOfText);
    if (ids.size() < 2) continue;
    const Example example = objective_->example(ids, random);
    if (i % 2 == 1) ids.push_back(kEndOfText);  // which is there even where a text goes on
    ASSERT_EQ(restored(example), ids);
    ASSERT_EQ(example.inputs.size(), example.targets.size());
    ASSERT_EQ(example.inputs[static_cast<size_t>(example.prefix)], kStart);
    ASSERT_EQ(example.targets.back(), kEndOfText);
    ASSERT_LE(static_cast<int64_t>(example.inputs.size()),
              objective_->most_inputs(static_cast<int64_t>(length) + (i % 2 == 0)));
    // What is read of the target is what was told before.
    ASSERT_TRUE(std::equal(example.targets.begin() + example.prefix, example.targets.end() - 1,
                           example.inputs.begin() + example.prefix + 1));
    hidden += static_cast<size_t>(std::count_if(example.targets.begin(), example.targets.end(),
                                                [](int32_t id) { return 0 <= id && id < 256; }));
    all += length;
  }
  EXPECT_NEAR(static_cast<double>(hidden) / static_cast<double>(all), 0.15, 0.005);
}

TEST_F(SpanObjective, MoreSpansThanSentinelsAreNotHidden) {
  Random random(6);
  std::vector<int32_t> ids(1000, 65);
  const Example example = objective_->example(ids, random);
  ids.push_back(kEndOfText);
  EXPECT_EQ(restored(example), ids);
  EXPECT_EQ(*std::max_element(example.inputs.begin(), example.inputs.begin() + example.prefix),
            kEndOfText + kSentinels);
}

TEST_F(SpanObjective, ATextOfOneTokenIsHiddenWhole) {
  Random random(7);
  const Example example = objective_->example(std::vector<int32_t>{65, kEndOfText}, random);
  EXPECT_EQ(example.inputs, (std::vector<int32_t>{257, kEndOfText, kStart, 257, 65}));
  EXPECT_EQ(example.targets, (std::vector<int32_t>{-1, -1, 257, 65, kEndOfText}));
}

}  // namespace
}  // namespace millrace
