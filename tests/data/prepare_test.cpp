#include "millrace/data/prepare.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

TEST(CleanText, DropsWhatIsNoTextAndKeepsTheRest) {
  struct Case {
    std::string text, clean;
  };
  for (const Case& test : std::vector<Case>{
           {"", ""},
           {"春眠不觉晓，\n", "春眠不觉晓，"},
           {"a\r\nb\rc\td", "a\nbc\td"},
           {"\n \n  a  \n\n b\t\n \n", "  a\n\n b"},
           {"a\x01\x1b[0mb\x7f\xc2\x85\xef\xbb\xbf", "a[0mb"},
           {"a\xff\xfe"
            "b\xe6\x98",
            "ab"},
           {"\xed\xa0\x80x", "x"},  // a surrogate
           {"😀", "😀"},
       }) {
    EXPECT_EQ(clean_text(test.text, false), test.clean);
  }
  EXPECT_EQ(clean_text("e\u0301", false), "e\u0301");
  EXPECT_EQ(clean_text("e\u0301", true), "\u00e9");
}

struct Output {
  std::string train, heldout;
  Json report;
};

Output prepare(const ScratchFolder& folder, const std::vector<std::filesystem::path>& inputs,
               const PrepareOptions& options) {
  Json report = prepare_corpus(inputs, folder / "out", options);
  EXPECT_EQ(read_json(folder / "out" / "report.json"), report);
  return {read_file(folder / "out" / "train.jsonl"), read_file(folder / "out" / "heldout.jsonl"),
          report};
}

PrepareOptions all_train() {
  PrepareOptions options;
  options.heldout_fraction = 0;
  return options;
}

TEST(Prepare, CleansDropsAndCounts) {
  ScratchFolder folder;
  auto text = folder.write("a.txt", "one\n\ntwo words\n\n\n\none \n\n\x01\n");
  auto lines = folder.write("b.jsonl",
                            "{\"id\":7,\"text\":\"春\\u0000眠\"}\n{\"text\":\"\"}\n"
                            "{\"text\":\"much too long for this\"}\n{\"text\":\"x\"}\n");
  auto array = folder.write("c.json", "[{\"text\":\"one\"},\n{\"text\":\"three\",\"tag\":[1]}]");
  PrepareOptions options = all_train();
  options.min_characters = 2;
  options.max_characters = 10;
  Output output = prepare(folder, {text, lines, array}, options);
  EXPECT_EQ(output.train,
            "{\"text\":\"one\"}\n{\"text\":\"two words\"}\n{\"text\":\"春眠\",\"id\":7}\n"
            "{\"text\":\"three\",\"tag\":[1]}\n");
  EXPECT_EQ(output.heldout, "");
  auto count = [](int documents, int characters) {
    return Json{{"documents", documents}, {"characters", characters}};
  };
  EXPECT_EQ(output.report["read"], count(10, 3 + 9 + 4 + 1 + 3 + 0 + 22 + 1 + 3 + 5));
  EXPECT_EQ(output.report["train"], count(4, 3 + 9 + 2 + 5));
  EXPECT_EQ(output.report["dropped"]["empty"], count(2, 0));
  EXPECT_EQ(output.report["dropped"]["too_short"], count(1, 1));
  EXPECT_EQ(output.report["dropped"]["too_long"], count(1, 22));
  EXPECT_EQ(output.report["dropped"]["repeated"], count(2, 6));
  EXPECT_EQ(output.report["inputs"][1], (Json{{"file", "b.jsonl"}, {"documents", 4}}));
}

TEST(Prepare, SplitsTextAtBlankLinesOrAtTheSeparator) {
  ScratchFolder folder;
  PrepareOptions options = all_train();
  auto path = folder.write("a.txt", "one\r\n\r\ntwo\r\n%%\r\nthree\n\nfour");
  EXPECT_EQ(prepare(folder, {path}, options).train,
            "{\"text\":\"one\"}\n{\"text\":\"two\\n%%\\nthree\"}\n{\"text\":\"four\"}\n");
  options.separator = "%%";
  EXPECT_EQ(prepare(folder, {path}, options).train,
            "{\"text\":\"one\\n\\ntwo\"}\n{\"text\":\"three\\n\\nfour\"}\n");
}

TEST(Prepare, HoldsOutTheSameDocumentsWhateverTheOthersAre) {
  ScratchFolder folder;
  std::string all, half;
  for (int i = 0; i < 2000; ++i) {
    std::string line = "{\"text\":\"document " + std::to_string(i) + "\"}\n";
    all += line;
    if (i % 2 == 0) half += line;
  }
  PrepareOptions options;
  options.heldout_fraction = 0.1;
  options.seed = 3;
  Output first = prepare(folder, {folder.write("all.jsonl", all)}, options);
  Output again = prepare(folder, {folder.write("all.jsonl", all)}, options);
  EXPECT_EQ(first.train, again.train);
  EXPECT_EQ(first.heldout, again.heldout);
  int64_t held = first.report["heldout"]["documents"].get<int64_t>();
  EXPECT_GT(held, 150);
  EXPECT_LT(held, 250);
  EXPECT_EQ(first.report["train"]["documents"].get<int64_t>(), 2000 - held);

  Output part = prepare(folder, {folder.write("half.jsonl", half)}, options);
  for (size_t begin = 0, end = 0; begin < part.heldout.size(); begin = end + 1) {
    end = part.heldout.find('\n', begin);
    std::string line = part.heldout.substr(begin, end + 1 - begin);
    EXPECT_NE(first.heldout.find(line), std::string::npos) << line;
  }
  options.seed = 4;
  EXPECT_NE(prepare(folder, {folder / "all.jsonl"}, options).heldout, first.heldout);
}

TEST(Prepare, TellsHowFarItIs) {
  ScratchFolder folder;
  auto one = folder.write("1.txt", "a\n\nb");
  auto two = folder.write("2.txt", "c");
  std::vector<std::string> calls;
  prepare_corpus({one, two}, folder / "out", all_train(), [&](const PrepareProgress& progress) {
    calls.push_back(fmt::format("{} {}/{} {}", progress.file.filename().string(),
                                progress.files_done, progress.num_files, progress.documents));
  });
  EXPECT_EQ(calls, (std::vector<std::string>{"1.txt 1/2 2", "2.txt 2/2 3"}));
}

TEST(Prepare, AnErrorNamesFileAndLineAndLeavesNothing) {
  ScratchFolder folder;
  struct Case {
    std::string contents, error;
  };
  for (const Case& test : std::vector<Case>{
           {"{\"text\":\"a\"}\n{\"txt\":\"b\"}\n", ":2: has no field 'text'"},
           {"{\"text\":\"a\"}\n{\"text\":3}\n", ":2: field 'text' must be a string"},
           {"{\"text\":\"a\"\n", ":1: is not valid JSON"},
       }) {
    auto path = folder.write("a.jsonl", test.contents);
    try {
      prepare_corpus({path}, folder / "out");
      FAIL() << "no error for " << test.contents;
    } catch (const Error& error) {
      std::string expected = path.string() + test.error;
      EXPECT_EQ(std::string(error.what()).substr(0, expected.size()), expected);
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder / "out"));
  }
  EXPECT_THROW(prepare_corpus({}, folder / "out"), Error);
  PrepareOptions options;
  options.heldout_fraction = 1;
  EXPECT_THROW(prepare_corpus({folder / "a.jsonl"}, folder / "out", options), Error);
}

}  // namespace
}  // namespace millrace
