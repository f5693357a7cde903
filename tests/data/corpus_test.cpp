#include "millrace/data/corpus.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/data/lines.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

std::string compressed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::vector<std::string> documents(const std::filesystem::path& path) {
  std::vector<std::string> result;
  for_each_document(path, "---", [&](std::string_view text) { result.emplace_back(text); });
  return result;
}

std::string error_of(const std::filesystem::path& path) {
  try {
    documents(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

using Strings = std::vector<std::string>;

TEST(Lines, AreReadAcrossChunksPlainAndCompressed) {
  ScratchFolder folder;
  Strings lines;
  std::string text;
  for (size_t i = 0; i < 3000; ++i) {
    lines.emplace_back(i * 37 % 500, static_cast<char>('a' + i % 26));
    text += lines.back() + "\n";
  }
  lines.emplace_back(900'000, 'x');  // longer than several chunks, and without an end
  text += lines.back();
  for (auto path : {folder.write("a.txt", text), folder.write("a.txt.zst", compressed(text))}) {
    LineReader reader(path);
    for (const std::string& line : lines) {
      ASSERT_TRUE(reader.next());
      ASSERT_EQ(reader.line(), line);
    }
    EXPECT_EQ(reader.number(), 3001);
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.next());
  }
}

TEST(Corpus, PlainTextIsSplitAtSeparatorLines) {
  ScratchFolder folder;
  EXPECT_EQ(documents(folder.write("a.txt", "one\ntwo\n---\n---\nthree ---\n\n---")),
            (Strings{"one\ntwo", "three ---\n"}));
  EXPECT_EQ(documents(folder.write("b.txt", "whole\n")), Strings{"whole"});
  EXPECT_EQ(documents(folder.write("c.txt", "")), Strings{});
}

TEST(Corpus, JsonLinesGiveTheirText) {
  ScratchFolder folder;
  std::string text = "{\"text\": \"a\\nb\", \"id\": 1}\n\n{\"text\": \"\"}\n{\"text\": \"春\"}";
  EXPECT_EQ(documents(folder.write("a.jsonl", text)), (Strings{"a\nb", "春"}));
  EXPECT_EQ(documents(folder.write("a.jsonl.zst", compressed(text))), (Strings{"a\nb", "春"}));
}

TEST(Corpus, ErrorsNameFileAndLine) {
  ScratchFolder folder;
  auto bad = folder.write("a.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"a\"}\n");
  EXPECT_EQ(error_of(bad), bad.string() + ":2: has no field 'text'");
  auto broken = folder.write("b.jsonl", "{\"text\": \"a\n");
  EXPECT_NE(error_of(broken).find(broken.string() + ":1: is not valid JSON"), std::string::npos);
  EXPECT_NE(error_of(folder / "none.txt").find("cannot open"), std::string::npos);
  EXPECT_NE(error_of(folder.path()).find("is a folder"), std::string::npos);
  std::string good = compressed("some text that is long enough to be cut");
  EXPECT_NE(error_of(folder.write("c.txt.zst", good.substr(0, 20))).find("cut off"),
            std::string::npos);
  EXPECT_NE(error_of(folder.write("d.txt.zst", "no zstd at all")).find("not valid zstd"),
            std::string::npos);
}

TEST(Corpus, AFolderStandsForItsFilesByName) {
  ScratchFolder folder;
  folder.write("b.txt", "b");
  folder.write("a.jsonl.zst", "");
  folder.write("readme.md", "");
  auto files = corpus_files({folder.path().string(), (folder / "readme.md").string()});
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files[0].filename(), "a.jsonl.zst");
  EXPECT_EQ(files[1].filename(), "b.txt");
  EXPECT_EQ(files[2].filename(), "readme.md");
  EXPECT_THROW(corpus_files({(folder / "none").string()}), Error);
}

}  // namespace
}  // namespace millrace
