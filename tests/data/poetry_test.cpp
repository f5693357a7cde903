#include "millrace/data/poetry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/data/json_records.h"
#include "millrace/data/poem_form.h"
#include "millrace/data/prepare_poetry.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;

const Json kStork = Json::parse(
    R"({"title":"登鹳雀楼","author":"王之涣","dynasty":"唐","form":"五言绝句",
        "lines":["白日依山尽，黄河入海流。","欲穷千里目，更上一层楼。"]})");

Strings lines_of(std::string_view text) {
  Strings lines;
  for (std::string_view line : poem_lines(text)) lines.emplace_back(line);
  return lines;
}

TEST(PoemForm, LinesEndAtMarksAndWhiteSpace) {
  EXPECT_EQ(lines_of("白日依山尽，黄河入海流。\n欲穷千里目"),
            (Strings{"白日依山尽", "黄河入海流", "欲穷千里目"}));
  EXPECT_EQ(lines_of("，，a b　c？！；：、d\r\n"), (Strings{"a", "b", "c", "d"}));
  EXPECT_EQ(lines_of(""), Strings{});
  EXPECT_EQ(characters_of("a春\xff\xe6").size(), 4U);
  EXPECT_TRUE(is_han("春"));
  EXPECT_TRUE(is_han("𠮷"));
  EXPECT_FALSE(is_han("a"));
  EXPECT_FALSE(is_han("。"));
  EXPECT_FALSE(is_han("\xff"));
  EXPECT_EQ(find_poem_form("七言律诗")->line_length, 7);
  EXPECT_EQ(find_poem_form("七言"), nullptr);
}

TEST(Poem, IsReadAndPrinted) {
  Poem poem = parse_poem(kStork, "poems.jsonl:1");
  EXPECT_EQ(poem_page(poem),
            "五言绝句《登鹳雀楼》王之涣\n白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。");
  for (const auto& [field, value] : std::map<std::string, Json>{{"title", nullptr},
                                                                {"lines", Json::array()},
                                                                {"lines", "text"},
                                                                {"lines", {1}},
                                                                {"lines", {"，"}}}) {
    Json broken = kStork;
    broken[field] = value;
    try {
      parse_poem(broken, "poems.jsonl:1");
      FAIL() << broken.dump();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).rfind("poems.jsonl:1: ", 0), 0U) << error.what();
      EXPECT_NE(std::string(error.what()).find("'" + field + "'"), std::string::npos);
    }
  }
}

TEST(Poem, IsAskedForInSeveralPhrasings) {
  Poem poem = parse_poem(kStork, "");
  std::map<RequestKind, std::set<std::string>> requests;
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    for (RequestKind kind :
         {RequestKind::kTitle, RequestKind::kTitleAndAuthor, RequestKind::kAuthor,
          RequestKind::kFirstLine, RequestKind::kContinuation, RequestKind::kTheme}) {
      requests[kind].insert(poem_request(poem, kind, random));
    }
  }
  EXPECT_EQ(requests[RequestKind::kTitle].size(), 7U);
  EXPECT_EQ(requests[RequestKind::kTitle].count("以《登鹳雀楼》为题写一首五言绝句"), 1U);
  EXPECT_EQ(requests[RequestKind::kAuthor].count("模仿王之涣写一首五言绝句"), 1U);
  EXPECT_EQ(requests[RequestKind::kContinuation].count("续写：白日依山尽，"), 1U);
  EXPECT_EQ(requests[RequestKind::kContinuation].count("续写：白日依山尽，黄河入海流。"), 1U);
  EXPECT_EQ(requests[RequestKind::kTheme].count("用「山」字作一首五言绝句"), 1U);
  for (const std::string& request : requests[RequestKind::kTheme]) {
    EXPECT_EQ(request.find("月"), std::string::npos) << "no 月 in the poem: " << request;
  }
  poem.lines = {"何不如此如，何如不此何。"};
  EXPECT_EQ(poem_request(poem, RequestKind::kTheme, random), "");
}

std::string poem_line(const std::string& title, const std::string& form, const std::string& line) {
  return to_json_text({{"title", title}, {"author", "某"}, {"form", form}, {"lines", {line}}}) +
         "\n";
}

TEST(PreparePoetry, WritesPagesInstructionsAndRequests) {
  ScratchFolder folder;
  auto train = folder.write("train.jsonl", poem_line("春", "五言绝句", "甲乙丙丁戊，己庚辛壬癸。") +
                                               poem_line("夏", "词", "甲乙丙，己庚辛。"));
  auto heldout = folder.write(
      "heldout.jsonl", poem_line("春", "五言绝句", "一") + poem_line("秋", "五言绝句", "二") +
                           poem_line("冬", "七言律诗", "三") + poem_line("晓", "七言绝句", "四") +
                           poem_line("晚", "七言绝句", "五") + poem_line("晚", "七言绝句", "六"));
  PoetryOptions options;
  options.requests_per_poem = 3;
  auto files = {"pretrain.jsonl",     "heldout.jsonl",
                "instructions.jsonl", "heldout-instructions.jsonl",
                "requests.jsonl",     "report.json"};
  std::map<std::string, std::string> contents;
  for (const char* name : {"one", "two"}) {
    Json report = prepare_poetry({train}, {heldout}, folder / name, options);
    for (const char* file : files) {
      std::string text = read_file(folder / name / file);
      if (contents.count(file) > 0) {
        EXPECT_EQ(contents[file], text) << "not the same bytes";
      }
      contents[file] = text;
    }
    EXPECT_EQ(report["train"]["五言绝句"],
              (Json{{"poems", 1}, {"characters", 10}, {"requests", 3}}));
    EXPECT_EQ(report["train"]["词"], (Json{{"poems", 1}, {"characters", 6}, {"requests", 0}}));
    EXPECT_EQ(report["eval_requests"], 3);
  }
  EXPECT_EQ(contents["pretrain.jsonl"],
            "{\"text\":\"五言绝句《春》某\\n甲乙丙丁戊，己庚辛壬癸。\"}\n"
            "{\"text\":\"词《夏》某\\n甲乙丙，己庚辛。\"}\n");
  Strings asked;
  for_each_json_record(folder / "one" / "requests.jsonl", [&](JsonRecord& record) {
    asked.push_back(record.fields["title"].get<std::string>());
    EXPECT_NE(record.fields["request"].get<std::string>().find("《" + asked.back() + "》"),
              std::string::npos);
  });
  std::ranges::sort(asked);
  EXPECT_EQ(asked, (Strings{"晓", "晚", "秋"})) << "no title of a training poem, none twice";
  int64_t pairs = 0;
  for_each_json_record(folder / "one" / "instructions.jsonl", [&](JsonRecord& record) {
    ++pairs;
    EXPECT_EQ(record.fields["messages"][0]["role"], "user");
    EXPECT_EQ(record.fields["messages"][1],
              (Json{{"role", "assistant"}, {"content", "甲乙丙丁戊，己庚辛壬癸。"}}));
  });
  EXPECT_EQ(pairs, 3);
}

// --- The corpus that is shipped -----------------------------------------------------------------

struct ShippedPoem {
  Poem poem;
  Strings lines;
};

std::vector<ShippedPoem> shipped(const char* name) {
  std::vector<ShippedPoem> poems;
  for_each_json_record(std::filesystem::path(MILLRACE_SOURCE_DIR) / "data" / name,
                       [&](JsonRecord& record) {
                         Poem poem = parse_poem(record.fields, record.source);
                         poems.push_back({poem, lines_of(poem_body(poem))});
                       });
  return poems;
}

TEST(ShippedCorpus, IsCleanAndItsHeldOutPartIsNotInTheTrainingPart) {
  std::vector<ShippedPoem> train = shipped("poems-train.jsonl.zst");
  std::vector<ShippedPoem> heldout = shipped("poems-heldout.jsonl.zst");
  EXPECT_GT(train.size(), 50'000U);
  EXPECT_GT(heldout.size(), 600U);
  std::unordered_set<std::string> pairs;
  for (const auto* poems : {&train, &heldout}) {
    for (const ShippedPoem& entry : *poems) {
      const PoemForm* form = find_poem_form(entry.poem.form);
      ASSERT_NE(form, nullptr) << entry.poem.form;
      ASSERT_EQ(entry.lines.size(), static_cast<size_t>(form->num_lines)) << entry.poem.title;
      for (const std::string& line : entry.lines) {
        std::vector<std::string_view> characters = characters_of(line);
        ASSERT_EQ(characters.size(), static_cast<size_t>(form->line_length)) << line;
        ASSERT_TRUE(std::ranges::all_of(characters, is_han)) << line;
      }
      for (size_t i = 0; i + 1 < entry.lines.size(); ++i) {
        EXPECT_TRUE(pairs.insert(entry.lines[i] + "/" + entry.lines[i + 1]).second)
            << "two consecutive lines occur twice: " << entry.lines[i];
      }
    }
  }
}

TEST(ShippedCorpus, HasEnoughRequestsForTheDemo) {
  ScratchFolder folder;
  std::filesystem::path data = std::filesystem::path(MILLRACE_SOURCE_DIR) / "data";
  PoetryOptions options;
  Json report = prepare_poetry({data / "poems-train.jsonl.zst"}, {data / "poems-heldout.jsonl.zst"},
                               folder.path(), options);
  EXPECT_EQ(report["eval_requests"], 200);
  std::map<std::string, int> forms;
  for_each_json_record(folder / "requests.jsonl", [&](JsonRecord& record) {
    ++forms[record.fields["form"].get<std::string>()];
  });
  EXPECT_GE(forms["五言绝句"], 60);
  EXPECT_EQ(forms["五言绝句"] + forms["七言绝句"], 200);
}

}  // namespace
}  // namespace millrace
