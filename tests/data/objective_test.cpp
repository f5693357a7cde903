#include "millrace/data/objective.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "millrace/base/error.h"
#include "millrace/data/packing.h"
#include "tests/byte_tokenizer.h"

namespace millrace {
namespace {

constexpr int32_t kEos = 256, kPrefix = 257, kSuffix = 258, kMiddle = 259, kMask = 260;

Tokenizer tokenizer() {
  return byte_tokenizer(
      {"<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|mask|>"});
}

std::vector<int32_t> ids_of(const std::string& text, bool ended = true) {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(static_cast<uint8_t>(c));
  if (ended) ids.push_back(kEos);
  return ids;
}

std::string text_of(std::vector<int32_t>::const_iterator begin,
                    std::vector<int32_t>::const_iterator end) {
  std::string text;
  for (; begin < end; ++begin) text += static_cast<char>(*begin);
  return text;
}

/// The whole sequence of an example whose targets are its next tokens.
std::vector<int32_t> sequence_of(const Example& example) {
  std::vector<int32_t> ids = example.inputs;
  EXPECT_TRUE(std::equal(ids.begin() + 1, ids.end(), example.targets.begin()));
  ids.push_back(example.targets.back());
  return ids;
}

TEST(FillInTheMiddle, MovesTheMiddleBehindWhatFollowsIt) {
  const Objective objective({.kind = ObjectiveKind::fill_in_the_middle, .fim_rate = 0.5},
                            tokenizer());
  const std::string text = "def f(x):\n  return 春眠 + x  # 不觉晓é\n";
  Random random(1);
  int plain = 0, suffix_first = 0;
  std::set<size_t> lengths;
  for (int i = 0; i < 400; ++i) {
    const std::vector<int32_t> all = sequence_of(objective.example(ids_of(text), random));
    ASSERT_EQ(all.back(), kEos);
    if (all.front() != kPrefix) {
      EXPECT_EQ(all, ids_of(text));
      ++plain;
      continue;
    }
    ASSERT_EQ(all.size(), text.size() + 4);
    const auto suffix = std::find(all.begin(), all.end(), kSuffix);
    const auto middle = std::find(all.begin(), all.end(), kMiddle);
    ASSERT_LT(suffix, middle);
    const std::string first = text_of(all.begin() + 1, suffix), after = text_of(suffix + 1, middle),
                      last = text_of(middle + 1, all.end() - 1);
    // Either the prefix stands first, or together with the middle it stands last.
    EXPECT_TRUE(first + last + after == text) << first << "|" << last << "|" << after;
    if (first.empty() && last.size() + after.size() == text.size()) ++suffix_first;
    lengths.insert(after.size());
    for (const std::string& part : {after, last}) {
      ASSERT_TRUE(part.empty() || (static_cast<uint8_t>(part[0]) & 0xc0) != 0x80) << part;
    }
  }
  EXPECT_NEAR(plain, 200, 40);
  EXPECT_NEAR(suffix_first, 100, 40);
  EXPECT_GT(lengths.size(), 20u);
}

TEST(FillInTheMiddle, NeverNeedsMoreThanThreeTokensMore) {
  const Objective objective({.kind = ObjectiveKind::fill_in_the_middle, .fim_rate = 1},
                            tokenizer());
  // Bytes that are no text are cut too, and come back as they were.
  Random random(2), bytes(3);
  for (int i = 0; i < 200; ++i) {
    std::vector<int32_t> ids(1 + bytes.below(40));
    for (int32_t& id : ids) id = static_cast<int32_t>(bytes.below(256));
    const Example example = objective.example(ids, random);
    EXPECT_LE(static_cast<int64_t>(example.inputs.size()),
              objective.most_inputs(static_cast<int64_t>(ids.size())));
    EXPECT_EQ(example.inputs.size(), example.targets.size());
  }
}

TEST(Masked, HidesEightOfTenAndTellsThemAll) {
  const Objective objective({.kind = ObjectiveKind::masked, .mask_rate = 0.15}, tokenizer());
  std::vector<int32_t> ids = ids_of(std::string(999, 'x'));
  Random random(4);
  int told = 0, hidden = 0, other = 0;
  for (int i = 0; i < 20; ++i) {
    const Example example = objective.example(ids, random);
    ASSERT_EQ(example.inputs.size(), ids.size());
    EXPECT_EQ(example.targets.back(), -1);  // a special token
    for (size_t j = 0; j < ids.size(); ++j) {
      if (example.targets[j] < 0) {
        ASSERT_EQ(example.inputs[j], ids[j]);
        continue;
      }
      ASSERT_EQ(example.targets[j], ids[j]);
      ++told;
      hidden += example.inputs[j] == kMask;
      other += example.inputs[j] != kMask && example.inputs[j] != ids[j];
    }
  }
  EXPECT_NEAR(told, 20 * 999 * 0.15, 150);
  EXPECT_NEAR(hidden, 0.8 * told, 0.04 * told);
  EXPECT_NEAR(other, 0.1 * told, 0.03 * told);
}

TEST(Masked, SomethingIsAlwaysToBeTold) {
  const Objective objective({.kind = ObjectiveKind::masked, .mask_rate = 0}, tokenizer());
  Random random(5);
  for (int i = 0; i < 20; ++i) {
    const Example example = objective.example(ids_of("abcdef"), random);
    EXPECT_EQ(std::count_if(example.targets.begin(), example.targets.end(),
                            [](int32_t id) { return id >= 0; }),
              1);
  }
}

TEST(Masked, WholeWordsAreHiddenOrNot) {
  const Objective objective({.kind = ObjectiveKind::masked, .mask_rate = 0.4, .whole_words = true},
                            tokenizer());
  const std::string text = "spring sleeps past 12 dawns, and birds";
  Random random(6);
  int words = 0;
  for (int i = 0; i < 50; ++i) {
    const Example example = objective.example(ids_of(text), random);
    for (size_t j = 1; j < text.size(); ++j) {
      if (!isalnum(text[j]) || !isalnum(text[j - 1])) continue;
      ASSERT_EQ(example.targets[j] >= 0, example.targets[j - 1] >= 0) << j;
      words += example.targets[j] >= 0;
    }
  }
  EXPECT_GT(words, 100);
}

TEST(Prefix, TheRestOfATextIsTold) {
  const std::vector<int32_t> ids = ids_of("mill-race");
  Random random(8);
  std::set<int64_t> cuts;
  for (int32_t start : {-1, kPrefix}) {
    const Objective objective({.kind = ObjectiveKind::prefix, .decoder_start = start}, tokenizer());
    for (int i = 0; i < 200; ++i) {
      const Example example = objective.example(ids, random);
      const auto cut = static_cast<size_t>(example.prefix);
      cuts.insert(example.prefix);
      std::vector<int32_t> inputs(ids.begin(), ids.end() - 1), targets(ids.begin() + 1, ids.end());
      if (start >= 0) {  // of a decoder beside an encoder
        inputs.insert(inputs.begin() + example.prefix, start);
        targets.insert(targets.begin(), 0);
      }
      const size_t first_told = start >= 0 ? cut : cut - 1;
      std::fill_n(targets.begin(), first_told, -1);
      ASSERT_EQ(example.inputs, inputs);
      ASSERT_EQ(example.targets, targets);
      ASSERT_EQ(example.targets[first_told], ids[cut]);
      EXPECT_EQ(static_cast<int64_t>(inputs.size()),
                objective.most_inputs(static_cast<int64_t>(ids.size())));
    }
  }
  EXPECT_EQ(cuts.size(), ids.size() - 1);
  EXPECT_EQ(*cuts.begin(), 1);
}

TEST(Objective, ATokenizerWithoutItsTokensIsAnError) {
  for (ObjectiveKind kind : {ObjectiveKind::fill_in_the_middle, ObjectiveKind::masked,
                             ObjectiveKind::span_corruption, ObjectiveKind::blank_infilling}) {
    EXPECT_THROW(Objective({.kind = kind}, byte_tokenizer()), Error);
    Objective({.kind = kind}, byte_tokenizer(objective_tokens(kind)));
  }
  EXPECT_FALSE(infill_tokens(byte_tokenizer()));
  const Tokenizer made = byte_tokenizer(objective_tokens(ObjectiveKind::fill_in_the_middle));
  EXPECT_TRUE(infill_tokens(made));
}

TEST(Objective, APieceGivesTheSameExampleInItsEpochAndAnotherInTheNext) {
  const Objective objective({.kind = ObjectiveKind::masked}, tokenizer());
  const TokenDataset dataset(std::vector<Document>{{ids_of(std::string(300, 'y')), {}}});
  std::vector<Piece> pieces = {{0, 0, 150}, {0, 150, 300}};
  const PackedBatch first = pack(dataset, pieces, 261, &objective);
  EXPECT_EQ(pack(dataset, pieces, 261, &objective).targets, first.targets);
  EXPECT_EQ(count_scored(dataset, pieces, &objective),
            std::count_if(first.targets.begin(), first.targets.end(),
                          [](int32_t id) { return id >= 0; }));
  const PackedBatch alone = pack(dataset, std::span(pieces).first(1), 261, &objective);
  EXPECT_TRUE(std::equal(alone.targets.begin(), alone.targets.end(), first.targets.begin()));
  for (Piece& piece : pieces) piece.epoch = 1;
  EXPECT_NE(pack(dataset, pieces, 261, &objective).targets, first.targets);
}

}  // namespace
}  // namespace millrace
