#include "millrace/evaluate/poems.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/data/json_records.h"
#include "millrace/data/poem_form.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

const std::filesystem::path kData = std::filesystem::path(MILLRACE_SOURCE_DIR) / "data";

const Prosody& prosody() {
  static const Prosody table(kData / "tones.tsv");
  return table;
}

Verse verse_of(std::string_view text) {
  Verse verse;
  for (std::string_view line : poem_lines(text)) verse.push_back(characters_of(line));
  return verse;
}

TEST(PoemScore, SaysWhetherTheFormIsRightAndWhyNot) {
  struct Case {
    std::string text, form, reason;
  };
  for (const Case& test : std::vector<Case>{
           {"白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。", "五言绝句", ""},
           {"白日依山尽 黄河入海流\n欲穷千里目！更上一层楼", "五言绝句", ""},
           {"白日依山尽，黄河入海流。", "五言绝句", "has 2 lines, not 4"},
           {"白日依山尽，黄河入海流。欲穷千里目，更上层楼。", "五言绝句",
            "line 4 has 4 characters, not 5"},
           {"白日依山尽，黄河入海流。欲穷千里目，更上一层楼。", "七言绝句",
            "line 1 has 5 characters, not 7"},
           {"白日依山尽，黄河入海流。欲穷千里目，更上一层x。", "五言绝句", "line 4 has 'x'"},
           {"白日依山尽，黄河入海流。欲穷千里目，更上一层\xff。", "五言绝句", "line 4 has '\xff'"},
           {"", "七言律诗", "has 0 lines, not 8"},
       }) {
    PoemScore score = score_poem(test.text, test.form, nullptr);
    EXPECT_EQ(score.reason, test.reason);
    EXPECT_EQ(score.form_right, test.reason.empty());
  }
  EXPECT_EQ(score_poem("一二，三。", "五言绝句", nullptr).line_lengths,
            (std::vector<int64_t>{2, 1}));
  EXPECT_THROW(score_poem("", "六言", nullptr), Error);
}

TEST(Prosody, KnowsTonesAndRhymes) {
  EXPECT_EQ(prosody().tone("春"), Tone::kLevel);
  EXPECT_EQ(prosody().tone("日"), Tone::kOblique);
  EXPECT_EQ(prosody().tone("看"), Tone::kBoth);
  EXPECT_EQ(prosody().tone("x"), Tone::kBoth);
  EXPECT_TRUE(prosody().rhyme_groups("x").empty());
  EXPECT_TRUE(rhymes(verse_of("一东，二流。三西，四楼。"), prosody()));
  EXPECT_FALSE(rhymes(verse_of("一东，二流。三西，四山。"), prosody()));
  EXPECT_FALSE(rhymes(verse_of("一东，二x。三西，四楼。"), prosody()));
}

TEST(Prosody, CountsTheRulesOfRegulatedVerse) {
  // 仄仄平平仄，平平仄仄平。平平平仄仄，仄仄仄平平。
  std::string right = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。";
  EXPECT_EQ(tone_match(verse_of(right), prosody()), 1.0);
  // Ten rules: four lines alternate, two couplets differ, one join agrees, two even lines end
  // level, the third ends oblique.
  struct Case {
    std::string text;
    double broken;
  };
  for (const Case& test : std::vector<Case>{
           {"白日依山尽，黄河入河流。欲穷千里目，更上一层楼。", 1},  // 2 = 4
           {"白日依山尽，黄海入河流。欲穷千里目，更上一层楼。", 2},  // no 对, no 粘
           {"白日依山尽，黄河入海日。欲穷千里目，更上一层楼。", 1},  // ends oblique
           {"白日依山尽，黄河入海流。欲穷千里山，更上一层楼。", 1},  // ends level
       }) {
    EXPECT_NEAR(tone_match(verse_of(test.text), prosody()), 1 - test.broken / 10, 1e-9)
        << test.text;
  }
}

TEST(Prosody, RefusesABrokenTable) {
  ScratchFolder folder;
  struct Case {
    std::string contents, error;
  };
  for (const Case& test : std::vector<Case>{
           {"春\t平\t上平十一真\n日\t高\t\n", ":2: the tone is '高'"},
           {"春\t平\n", ":1: must be a character"},
           {"春天\t平\t\n", ":1: must be a character"},
       }) {
    auto path = folder.write("tones.tsv", test.contents);
    try {
      Prosody table(path);
      FAIL() << test.contents;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).rfind(path.string() + test.error, 0), 0U) << error.what();
    }
  }
}

TEST(LineSet, HoldsTheLinesOfEveryKindOfFile) {
  ScratchFolder folder;
  LineSet lines;
  lines.add_file(folder.write("a.jsonl", "{\"lines\":[\"白日依山尽，黄河入海流。\"]}\n"));
  lines.add_file(folder.write("b.jsonl", "{\"text\":\"标题\\n欲穷千里目，更上一层楼。\"}\n"));
  lines.add_file(folder.write("c.txt", "春眠不觉晓，处处闻啼鸟。\n"));
  EXPECT_EQ(lines.size(), 6U) << "a short line is not kept";
  for (const char* line : {"白日依山尽", "更上一层楼", "处处闻啼鸟"}) {
    EXPECT_TRUE(lines.contains(line)) << line;
  }
  EXPECT_FALSE(lines.contains("花落知多少"));
  EXPECT_THROW(lines.add_file(folder.write("d.jsonl", "{\"lines\":[1]}\n")), Error);
}

TEST(PoemScores, AreCountedTogether) {
  LineSet lines;
  lines.add("白日依山尽，黄河入海流。");
  std::string stork = "白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。";
  std::vector<PoemAnswer> answers = {
      {"a", "五言绝句", stork},
      {"b", "五言绝句", "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"},
      {"c", "五言绝句", "更上一层楼。"},
      {"d", "七言绝句", "白日依山尽。"},
  };
  Json scores = score_poems(answers, &prosody(), &lines);
  EXPECT_EQ(scores["poems"], 4);
  EXPECT_EQ(scores["form_right"], 0.5);
  EXPECT_EQ(scores["tone_match"], 1.0);
  EXPECT_EQ(scores["rhymes"], 1.0);
  EXPECT_EQ(scores["distinct"], 3) << "white space does not make another poem";
  EXPECT_EQ(scores["lines"], 10);
  EXPECT_EQ(scores["copied_lines"], 0.5);
  EXPECT_NEAR(scores["by_form"]["五言绝句"]["form_right"].get<double>(), 2.0 / 3, 1e-12);
  EXPECT_EQ(scores["by_form"]["七言绝句"]["tone_match"], nullptr);
  EXPECT_EQ(scores["wrong"][1]["reason"], "has 1 lines, not 4");
  EXPECT_EQ(poem_table(scores),
            "form        poems  form right  tone rules   rhymes\n"
            "七言绝句        1       0.0 %           -        -\n"
            "五言绝句        3      66.7 %     100.0 %  100.0 %\n"
            "all             4      50.0 %     100.0 %  100.0 %\n"
            "distinct poems: 3 of 4; lines found in the training text: 50.0 %\n");
  Json bare = score_poems(answers, nullptr, nullptr);
  EXPECT_EQ(bare["tone_match"], nullptr);
  EXPECT_EQ(bare["copied_lines"], nullptr);
  EXPECT_EQ(score_poems({}, nullptr, nullptr)["form_right"], nullptr);
}

/// What real poems score: what a model's figures are to be held against.
TEST(PoemScores, OfTheHeldOutPoemsAreHigh) {
  std::vector<PoemAnswer> answers;
  for_each_json_record(kData / "poems-heldout.jsonl.zst", [&](JsonRecord& record) {
    std::string text;
    for (const Json& line : record.fields["lines"]) text += line.get<std::string>() + "\n";
    answers.push_back({"", record.fields["form"].get<std::string>(), text});
  });
  LineSet lines;
  lines.add_file(kData / "poems-train.jsonl.zst");
  Json scores = score_poems(answers, &prosody(), &lines);
  EXPECT_EQ(scores["form_right"], 1.0);
  EXPECT_EQ(scores["distinct"].get<size_t>(), answers.size());
  EXPECT_GT(scores["tone_match"].get<double>(), 0.95);
  EXPECT_GT(scores["rhymes"].get<double>(), 0.97);
  EXPECT_LT(scores["copied_lines"].get<double>(), 0.02);
}

}  // namespace
}  // namespace millrace
