// Damaged and hostile tokenizer.json files: each is an Error that names the file, or a tokenizer.
#include <gtest/gtest.h>

#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/text/tokenizer.h"

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

std::string mutate_bytes(std::string bytes, Random& random) {
  for (uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
    size_t at = random.below(bytes.size());
    switch (random.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        bytes.erase(at, 1 + random.below(16));
        break;
      case 2:
        bytes.insert(at, 1 + random.below(4), "0129.-\"\\[]{}(),:*+?ae"[random.below(22)]);
        break;
      default: {
        std::string piece = bytes.substr(random.below(bytes.size()), 1 + random.below(32));
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
      }
    }
  }
  return bytes;
}

/// Every value of a document, at any depth.
void collect(Json& value, std::vector<Json*>& values) {
  values.push_back(&value);
  for (auto& member : value) {
    if (member.is_structured()) {
      collect(member, values);
    } else {
      values.push_back(&member);
    }
  }
}

/// The same document with one value that is another one, removed, or of another type.
std::string mutate_values(const Json& original, Random& random) {
  Json json = original;
  std::vector<Json*> values;
  collect(json, values);
  Json& target = *values[random.below(values.size())];
  const Json any[] = {nullptr,
                      true,
                      -1,
                      3,
                      1 << 30,
                      UINT64_MAX,
                      0.5,
                      "",
                      "a",
                      "\\",
                      std::string(3000, '('),
                      Json::array(),
                      Json::object(),
                      Json::array({1, "a"})};
  if (random.below(2) == 0) {
    target = any[random.below(std::size(any))];
  } else {
    Json copy = *values[random.below(values.size())];
    target = copy;
  }
  return to_json_text(json);
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
