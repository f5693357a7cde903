#include "millrace/data/token_dataset.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/thread_pool.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

template <typename T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

const std::vector<Document> kDocuments = {{{1, 2, 3}, {}}, {{}, {}}, {{4, 5}, {0, 1}}, {{6}, {}}};

void expect_documents(const TokenDataset& dataset) {
  ASSERT_EQ(dataset.num_documents(), 4);
  EXPECT_EQ(dataset.num_tokens(), 6);
  for (size_t i = 0; i < kDocuments.size(); ++i) {
    EXPECT_EQ(copy(dataset.tokens(static_cast<int64_t>(i))), kDocuments[i].tokens);
  }
  EXPECT_EQ(copy(dataset.scored(0)), (std::vector<uint8_t>{1, 1, 1}));
  EXPECT_EQ(copy(dataset.scored(2)), (std::vector<uint8_t>{0, 1}));
}

std::string write_dataset(const std::filesystem::path& path) {
  TokenDatasetWriter writer(path, 7);
  for (const Document& document : kDocuments) writer.append(document);
  writer.finish();
  return read_file(path);
}

TEST(TokenDataset, HoldsDocumentsInMemoryAndInAFile) {
  expect_documents(TokenDataset(kDocuments));
  ScratchFolder folder;
  write_dataset(folder / "x.tokens");
  expect_documents(TokenDataset(folder / "x.tokens"));
  EXPECT_TRUE(token_dataset_matches(folder / "x.tokens", 7));
  EXPECT_FALSE(token_dataset_matches(folder / "x.tokens", 8));
  EXPECT_EQ(TokenDataset().num_documents(), 0);
}

TEST(TokenDataset, AFileThatWasNotFinishedDoesNotAppear) {
  ScratchFolder folder;
  { TokenDatasetWriter writer(folder / "x.tokens", 7); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TokenDataset, DamagedFilesAreErrors) {
  ScratchFolder folder;
  std::string good = write_dataset(folder / "x.tokens");
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW(TokenDataset(folder.write("cut", good.substr(0, length))), Error) << length;
  }
  for (size_t at = good.size() - 40; at < good.size() - 16; ++at) {  // the footer's counts
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    EXPECT_THROW(TokenDataset(folder.write("bad", bad)), Error) << at;
  }
  std::string bad = good;
  bad[24 + 8] = 99;  // an offset beyond the end
  EXPECT_THROW(TokenDataset(folder.write("bad", bad)), Error);
}

TEST(TokenDataset, AFullDiskIsAnErrorThatNamesTheFile) {
  // Writing to /dev/full fails with ENOSPC once the buffer is flushed.
  ScratchFolder folder;
  auto path = folder / "x.tokens";
  auto temporary = path;
  temporary += "." + std::to_string(::getpid()) + ".tmp";
  std::filesystem::create_symlink("/dev/full", temporary);
  try {
    TokenDatasetWriter writer(path, 7);
    for (int i = 0; i < 100; ++i) writer.append({std::vector<int32_t>(1000, 1), {}});
    writer.finish();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("x.tokens: cannot write: No space"), std::string::npos)
        << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

Document encode_bytes(std::string_view text) {
  Document document;
  for (char c : text) document.tokens.push_back(static_cast<unsigned char>(c));
  return document;
}

TEST(TokenDataset, TokenizingKeepsTheOrderAtAnyNumberOfThreads) {
  ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "{\"text\": \"" + std::to_string(i) + "\"}\n";
  std::vector<std::filesystem::path> files = {folder.write("a.jsonl", text),
                                              folder.write("b.txt", "last")};
  int before = num_threads();
  std::string first;
  for (int threads : {1, 4}) {
    set_num_threads(threads);
    auto cache = folder / ("cache" + std::to_string(threads));
    TokenDataset dataset = cached_dataset(cache, files, "bytes", [&](TokenDatasetWriter& writer) {
      encode_corpus(files, "---", encode_bytes,
                    [&](const Document& document) { writer.append(document); });
    });
    ASSERT_EQ(dataset.num_documents(), 5001);
    EXPECT_EQ(copy(dataset.tokens(4321)), encode_bytes("4321").tokens);
    EXPECT_EQ(copy(dataset.tokens(5000)), encode_bytes("last").tokens);
    EXPECT_TRUE(dataset.scored(0).empty());
    if (first.empty()) first = read_file(cache);
    EXPECT_EQ(read_file(cache), first);
  }
  set_num_threads(before);
}

TEST(TokenDataset, TheCacheIsUsedUntilTextOrTokenizerChange) {
  ScratchFolder folder;
  auto tokenize = [&](const char* encoder) {
    int calls = 0;
    cached_dataset(folder / "cache", {folder / "a.txt"}, encoder, [&](TokenDatasetWriter& writer) {
      ++calls;
      writer.append(encode_bytes(read_file(folder / "a.txt")));
    });
    return calls;
  };
  folder.write("a.txt", "one");
  EXPECT_EQ(tokenize("bytes"), 1);
  EXPECT_EQ(tokenize("bytes"), 0);
  EXPECT_EQ(tokenize("other"), 1);
  folder.write("a.txt", "two");
  EXPECT_EQ(tokenize("other"), 1);
  folder.write("cache", "rubbish");
  EXPECT_EQ(tokenize("other"), 1);
}

}  // namespace
}  // namespace millrace
