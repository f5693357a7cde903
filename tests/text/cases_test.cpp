// Options of tokenizer.json, each against Hugging Face's tokenizers, on a tokenizer of our own
// training whose file they opened.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/base/json.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

const std::filesystem::path kGolden =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text";

TEST(TokenizerJson, EachOptionGivesTheIdsOfHuggingFaceTokenizers) {
  Json golden = read_json(kGolden / "cases.json");
  Json trained = read_json(kGolden / "trained.json");
  std::vector<std::string> documents = corpus_documents(golden.at("documents"));
  EXPECT_GE(golden.at("cases").size(), 19u);
  for (const Json& expected : golden.at("cases")) {
    SCOPED_TRACE(expected.at("name"));
    Json json = trained;
    json.merge_patch(expected.at("patch"));
    Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "case");
    // What is read and written again is still the same.
    Tokenizer copy = Tokenizer::from_json(tokenizer.to_json(), Json(), "copy");
    for (size_t i = 0; i < golden.at("texts").size(); ++i) {
      auto text = golden.at("texts")[i].get<std::string>();
      auto ids = expected.at("ids")[i].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer.encode(text), ids) << text;
      EXPECT_EQ(copy.encode(text), ids) << text;
    }
    uint64_t hash = kEmptyHash;
    for (const std::string& document : documents) {
      std::vector<int32_t> ids = tokenizer.encode(replace_invalid_utf8(document));
      auto size = static_cast<int32_t>(ids.size());
      hash = hash_ids(ids, hash_ids({&size, 1}, hash));
    }
    EXPECT_EQ(fmt::format("{:016x}", hash), expected.at("hash"));
  }
}

}  // namespace
}  // namespace millrace
