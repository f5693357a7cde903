// Damaged and hostile tokenizer.json files: each is an Error that names the file, or a tokenizer.
#include <gtest/gtest.h>

#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/text/tokenizer.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

const std::string kText = "the abc-123 中文 <s>\xff\n  'S it's e\u0301";

std::string small_json() {
  return read_file(std::filesystem::path(MILLRACE_SOURCE_DIR) /
                   "fuzz/corpus/tokenizer_json/small.json");
}

/// Reads the file and uses the tokenizer; true when there is one.
bool accepts(const std::string& bytes) {
  const std::string source = "some/file";
  try {
    Json json = parse_json(bytes, source);
    Tokenizer tokenizer = Tokenizer::from_json(json, json, source);
    tokenizer.decode(tokenizer.encode(kText));
    tokenizer.to_json();
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(source + ": ")) << error.what();
    EXPECT_LT(std::strlen(error.what()), 1000u) << error.what();
    return false;
  }
}

TEST(HostileTokenizers, EveryTruncationIsRefused) {
  std::string whole = small_json();
  ASSERT_TRUE(accepts(whole));
  size_t end = whole.find_last_of('}');
  for (size_t size = 0; size <= end; ++size) ASSERT_FALSE(accepts(whole.substr(0, size))) << size;
}

TEST(HostileTokenizers, RandomMutationsAreRefusedOrValid) {
  std::string whole = small_json();
  Json json = parse_json(whole, "small.json");
  int refused = 0;
  constexpr int kRounds = 4000;
  for (uint64_t seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    SCOPED_TRACE(fmt::format("seed {}", seed));
    refused += accepts(mutate_bytes(whole, random)) ? 0 : 1;
    refused += accepts(mutate_values(json, random)) ? 0 : 1;
    if (HasFailure()) return;
  }
  EXPECT_GT(refused, kRounds / 4);
  EXPECT_LT(refused, 2 * kRounds);
}

}  // namespace
}  // namespace millrace
