// Ids of a corpus of 1.5 MB equal those of Hugging Face's tokenizers, for real vocabularies.
#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/utf8.h"
#include "test_data.h"

namespace millrace {
namespace {

const Json& golden() {
  static const Json file =
      read_json(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/ids.json");
  return file;
}

const std::vector<std::string>& documents() {
  static const std::vector<std::string> all = corpus_documents(golden().at("documents"));
  return all;
}

/// The vocabulary of a file with the pre-tokenizer and the normalizer of the golden.
Tokenizer load(const std::filesystem::path& path, const Json& expected) {
  GgufMetadata metadata = read_gguf(path).metadata;
  metadata.set("tokenizer.ggml.pre", expected.at("pre_tokenizer").get<std::string>());
  Tokenizer tokenizer = Tokenizer::from_gguf(metadata);
  if (expected.at("normalizer").is_null()) return tokenizer;
  TokenizerDefinition definition = tokenizer.definition();
  definition.normalizer = Normalizer::from_json({{"type", "NFC"}}, "test");
  return Tokenizer(definition, "test");
}

class Ids : public testing::TestWithParam<size_t> {};

TEST(IdsCorpus, IsTheOneOfTheGolden) {
  size_t bytes = 0;
  for (const std::string& document : documents()) bytes += document.size();
  EXPECT_EQ(bytes, golden().at("bytes"));
  EXPECT_GE(bytes, 1'000'000u);
}

TEST_P(Ids, EqualThoseOfHuggingFaceTokenizers) {
  const Json& expected = golden().at("tokenizers").at(GetParam());
  std::filesystem::path path = vocabulary_file(expected.at("vocabulary"));
  MILLRACE_REQUIRE_FILE(path);
  Tokenizer tokenizer = load(path, expected);
  const EncodeOptions options{.add_special = false};
  size_t per_hash = golden().at("documents_per_hash");
  size_t count = 0;
  for (size_t chunk = 0; chunk < expected.at("hashes").size(); ++chunk) {
    uint64_t hash = kEmptyHash;
    for (size_t i = chunk * per_hash; i < (chunk + 1) * per_hash; ++i) {
      std::vector<int32_t> ids = tokenizer.encode(replace_invalid_utf8(documents()[i]), options);
      auto size = static_cast<int32_t>(ids.size());
      hash = hash_ids(ids, hash_ids({&size, 1}, hash));
      count += ids.size();
    }
    EXPECT_EQ(fmt::format("{:016x}", hash), expected.at("hashes")[chunk]) << "chunk " << chunk;
  }
  EXPECT_EQ(count, expected.at("ids"));
  EXPECT_EQ(tokenizer.encode(golden().at("chat").get<std::string>(), options),
            expected.at("chat_ids").get<std::vector<int32_t>>());
}

std::string golden_name(const testing::TestParamInfo<size_t>& test) {
  const Json& expected = golden().at("tokenizers").at(test.param);
  std::string name = expected.at("vocabulary").get<std::string>() + "_" +
                     expected.at("pre_tokenizer").get<std::string>() +
                     (expected.at("normalizer").is_null() ? "" : "_nfc");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Golden, Ids, testing::Range<size_t>(0, golden().at("tokenizers").size()),
                         golden_name);

}  // namespace
}  // namespace millrace
