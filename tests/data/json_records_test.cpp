#include "millrace/data/json_records.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <string>
#include <utility>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

std::string compressed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

using Strings = std::vector<std::string>;

/// "line:object" of every record.
Strings records(const std::filesystem::path& path, size_t max_bytes = 1000) {
  Strings result;
  for_each_json_record(
      path,
      [&](JsonRecord& record) {
        EXPECT_EQ(record.source.substr(0, path.string().size() + 1), path.string() + ":");
        result.push_back(record.source.substr(path.string().size() + 1) + " " +
                         record.fields.dump());
      },
      max_bytes);
  return result;
}

/// The error of reading a file with these contents, without the folder's name.
std::string error_of(const ScratchFolder& folder, const std::string& name,
                     const std::string& contents) {
  try {
    records(folder.write(name, contents));
  } catch (const Error& error) {
    return std::string(error.what()).substr(folder.path().string().size() + 1);
  }
  return "no error";
}

TEST(JsonRecords, LinesAndArraysGiveTheSameRecords) {
  ScratchFolder folder;
  std::string lines = "{\"a\":1}\n\n{\"b\":\"x, ]\\\"[{\"}\r\n{\"c\":[{},[]]}";
  std::string array = "[{\"a\":1},\n\n{\"b\": \"x, ]\\\"[{\"}\n,{\"c\":\n[{},[]]}]\n\n";
  std::string tight = "[{\"a\":1},{\"b\":\"x, ]\\\"[{\"},{\"c\":[{},[]]}]";
  Strings objects = {"{\"a\":1}", "{\"b\":\"x, ]\\\"[{\"}", "{\"c\":[{},[]]}"};
  auto expect = [&](const std::filesystem::path& path, const Strings& numbers) {
    Strings expected;
    for (size_t i = 0; i < 3; ++i) expected.push_back(numbers[i] + " " + objects[i]);
    EXPECT_EQ(records(path), expected) << path;
  };
  expect(folder.write("a.jsonl", lines), {"1", "3", "4"});
  expect(folder.write("a.jsonl.zst", compressed(lines)), {"1", "3", "4"});
  expect(folder.write("a.json", array), {"1", "3", "4"});
  expect(folder.write("a.json.zst", compressed(array)), {"1", "3", "4"});
  expect(folder.write("b.json", tight), {"1", "1", "1"});
  EXPECT_EQ(records(folder.write("empty.json", " [\n] ")), Strings{});
  EXPECT_EQ(records(folder.write("empty.jsonl", "")), Strings{});
}

TEST(JsonRecords, ErrorsNameFileAndLine) {
  ScratchFolder folder;
  struct Case {
    std::string name, contents, error;
  };
  std::string giant = "{\"a\":\"" + std::string(2000, 'x') + "\"}";
  std::string zst = compressed("{\"a\":1}\n{\"a\":2}\n");
  std::string flipped = zst;
  flipped[zst.size() / 2] = static_cast<char>(~flipped[zst.size() / 2]);
  for (const Case& test : std::vector<Case>{
           {"a.jsonl", "{\"a\":1}\n{\"a\":}\n", "a.jsonl:2: is not valid JSON"},
           {"a.jsonl", "{\"a\":1}\n[1]\n", "a.jsonl:2: must be an object"},
           {"a.jsonl", "{\"a\":\"\xff\"}\n", "a.jsonl:1: is not valid JSON"},
           {"a.jsonl", "{}\n" + giant, "a.jsonl:2: the line has more than 1000 bytes"},
           {"a.jsonl.zst", compressed(giant), "a.jsonl.zst:1: the line has more than 1000 bytes"},
           {"a.jsonl.zst", zst.substr(0, zst.size() - 3),
            "a.jsonl.zst: the compressed file is cut"},
           {"a.jsonl.zst", flipped, "a.jsonl.zst"},
           {"a.jsonl.zst", "not zstd", "a.jsonl.zst: is not valid zstd"},
           {"a.json", "{\"a\":1}", "a.json:1: must be an array of objects"},
           {"a.json", "[{\"a\":1},\n{\"a\":1}", "a.json:2: the array does not end"},
           {"a.json", "[{\"a\":1},\n\n{\"a\" 1}]", "a.json:3: is not valid JSON"},
           {"a.json", "[{\"a\":1},\n]", "a.json:2: an element of the array is missing"},
           {"a.json", "[,{}]", "a.json:1: an element of the array is missing"},
           {"a.json", "[{}]\n]", "a.json:2: there is text after the array"},
           {"a.json", "[{}}]", "a.json:1: must be an array of objects"},
           {"a.json", "[1, 2]", "a.json:1: must be an object"},
           {"a.json", "", "a.json:0: the array does not end"},
           {"a.json", "[\n{\"a\":\n\"" + std::string(600, 'x') + "\n" + std::string(600, 'x'),
            "a.json:2: the record has more than 1000 bytes"},
           {"a.csv", "", "a.csv: records are read from .jsonl and .json files"},
       }) {
    std::string error = error_of(folder, test.name, test.contents);
    EXPECT_EQ(error.substr(0, test.error.size()), test.error) << error;
  }
}

TEST(JsonRecords, DamagedFilesGiveErrorsThatNameTheFile) {
  ScratchFolder folder;
  std::string array = "[{\"a\": [1, \"x\\\"\", {}]},\n {\"b\": null}]";
  std::string lines = "{\"a\": [1, \"x\\\"\", {}]}\n{\"b\": null}\n";
  Random random(1);
  int errors = 0;
  for (const auto& [name, contents] : std::vector<std::pair<std::string, std::string>>{
           {"a.json", array}, {"a.jsonl", lines}, {"a.jsonl.zst", compressed(lines)}}) {
    for (int round = 0; round < 250; ++round) {
      std::string damaged = contents;
      for (uint64_t i = 0; i <= random.below(3); ++i) {
        damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
      }
      if (round % 4 == 0) damaged.resize(random.below(damaged.size()));
      std::filesystem::path path = folder.write(name, damaged);
      try {
        records(path);
      } catch (const Error& error) {
        ++errors;
        EXPECT_EQ(std::string(error.what()).rfind(path.string() + ":", 0), 0U) << error.what();
      }
    }
  }
  EXPECT_GT(errors, 250);
}

}  // namespace
}  // namespace millrace
