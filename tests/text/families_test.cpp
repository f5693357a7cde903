// Ids of a mixed and a Chinese corpus, of 1.5 and 1 MB, equal those of SentencePiece, of Hugging
// Face's tokenizers and of tiktoken, and so do the texts that come back.
#include <gtest/gtest.h>

#include <cctype>

#include "corpus.h"
#include "millrace/base/base64.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/data/lines.h"
#include "millrace/formats/gguf.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/stream_decoder.h"
#include "millrace/text/tiktoken_ranks.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/utf8.h"
#include "test_data.h"

namespace millrace {
namespace {

const std::filesystem::path kGolden =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text";

const Json& golden() {
  static const Json file = read_json(kGolden / "families.json");
  return file;
}

const std::vector<std::string>& mixed_documents() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> documents = corpus_documents(golden().at("mixed"));
    for (std::string& text : documents) text = replace_invalid_utf8(text);
    return documents;
  }();
  return all;
}

/// A hundred poems each: a title, then its lines.
const std::vector<std::string>& chinese_documents() {
  static const std::vector<std::string> all = [] {
    const size_t count = golden().at("chinese");
    std::vector<std::string> documents;
    std::string text;
    size_t poems = 0;
    LineReader reader(std::filesystem::path(MILLRACE_SOURCE_DIR) / "data/poems-train.jsonl.zst");
    while (documents.size() < count && reader.next()) {
      const Json poem = parse_json(reader.line(), "poem");
      text += poem.at("title").get<std::string>() + "\n";
      for (const Json& line : poem.at("lines")) text += line.get<std::string>() + "\n";
      if (++poems % 100 == 0) {
        documents.push_back(std::move(text));
        text.clear();
      } else {
        text += "\n";
      }
    }
    return documents;
  }();
  return all;
}

Json with_map(const Json& value, const std::string& map) {
  if (value == "MAP") return map;
  Json result = value;
  if (result.is_structured()) {
    for (Json& member : result) member = with_map(member, map);
  }
  return result;
}

/// The tokenizer.json that is written for a GGUF file, with parts of it replaced.
Tokenizer patched(const GgufMetadata& metadata, const Json& patch) {
  Tokenizer original = Tokenizer::from_gguf(metadata);
  Json json = original.to_json();
  json["post_processor"] = nullptr;
  std::string map;
  for (const NormalizerStep& step : original.definition().normalizer.steps) {
    const auto* pieces = std::get_if<SentencePieceNormalizer>(&step);
    if (pieces != nullptr && pieces->map != nullptr) map = to_base64(pieces->map->blob());
  }
  for (const char* part : {"normalizer", "pre_tokenizer", "decoder"}) {
    json[part] = patch.contains(part) ? with_map(patch.at(part), map) : Json();
  }
  if (patch.contains("model")) json["model"].update(patch.at("model"));
  return Tokenizer::from_json(json, Json(), "patched");
}

/// Qwen's ranks as a file, from the GGUF file of its second version.
std::string qwen_ranks() {
  std::string lines;
  Tokenizer tokenizer = load_tokenizer(vocabulary_file("qwen2"));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.definition().tokens[static_cast<size_t>(id)].in_model) continue;
    lines += fmt::format("{} {}\n", to_base64(tokenizer.token_bytes(id)), id);
  }
  return lines;
}

Tokenizer load(const Json& expected) {
  if (expected.contains("ranks")) {
    auto name = expected.at("ranks").get<std::string>();
    return Tokenizer(tiktoken_definition(qwen_ranks(), name, Json(), name), name);
  }
  if (expected.contains("model")) {
    return load_tokenizer(kGolden / "models" / expected.at("model").get<std::string>());
  }
  GgufMetadata metadata = read_gguf(vocabulary_file(expected.at("gguf"))).metadata;
  if (expected.contains("patch")) return patched(metadata, expected.at("patch"));
  if (!expected.contains("pre")) return Tokenizer::from_gguf(metadata);
  metadata.set("tokenizer.ggml.pre", expected.at("pre").get<std::string>());
  TokenizerDefinition definition = Tokenizer::from_gguf(metadata).definition();
  if (!expected.at("normalizer").is_null()) {
    definition.normalizer =
        Normalizer::from_json({{"type", expected.at("normalizer")}}, "families.json");
  }
  return Tokenizer(std::move(definition), "families.json");
}

bool needs_test_data(const Json& expected) {
  return !expected.contains("model");
}

uint64_t hash_text(std::string_view text, uint64_t hash) {
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash * 0x100000001b3;  // as for a zero byte
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (int32_t id : ids) text += decoder.add(id);
  return text + decoder.finish();
}

void expect_equal(const Tokenizer& tokenizer, const std::vector<std::string>& documents,
                  const Json& expected, const std::string& name) {
  const EncodeOptions options{.add_special = false, .parse_special = false};
  const size_t per_hash = golden().at("documents_per_hash");
  uint64_t texts = kEmptyHash;
  size_t count = 0, chunk = 0;
  uint64_t hash = kEmptyHash;
  for (size_t i = 0; i < documents.size(); ++i) {
    std::vector<int32_t> ids = tokenizer.encode(documents[i], options);
    auto size = static_cast<int32_t>(ids.size());
    hash = hash_ids(ids, hash_ids({&size, 1}, hash));
    count += ids.size();
    std::string text = tokenizer.decode(ids, true);
    EXPECT_EQ(streamed(tokenizer, ids), text) << i;
    texts = hash_text(text, texts);
    if ((i + 1) % per_hash != 0 && i + 1 != documents.size()) continue;
    EXPECT_EQ(fmt::format("{:016x}", hash), expected.at(name + "_hashes").at(chunk)) << chunk;
    hash = kEmptyHash;
    ++chunk;
  }
  EXPECT_EQ(chunk, expected.at(name + "_hashes").size());
  EXPECT_EQ(count, expected.at(name + "_ids"));
  if (!expected.contains(name + "_texts")) return;
  EXPECT_EQ(fmt::format("{:016x}", texts), expected.at(name + "_texts"));
}

class Families : public testing::TestWithParam<size_t> {};

TEST(FamiliesCorpus, IsTheOneOfTheGolden) {
  size_t bytes = 0;
  for (const std::string& document : chinese_documents()) bytes += document.size();
  EXPECT_EQ(bytes, golden().at("chinese_bytes"));
  EXPECT_GE(bytes, 1'000'000u);
}

TEST_P(Families, EqualTheReference) {
  const Json& expected = golden().at("tokenizers").at(GetParam());
  if (needs_test_data(expected)) {
    MILLRACE_REQUIRE_FILE(test_data_folder() / "vocab");
  }
  Tokenizer tokenizer = load(expected);
  expect_equal(tokenizer, mixed_documents(), expected, "mixed");
  expect_equal(tokenizer, chinese_documents(), expected, "chinese");
}

std::string golden_name(const testing::TestParamInfo<size_t>& test) {
  auto name = golden().at("tokenizers").at(test.param).at("name").get<std::string>();
  std::string result;
  for (char c : name) {
    bool is_word = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (is_word || (!result.empty() && result.back() != '_')) result += is_word ? c : '_';
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Golden, Families,
                         testing::Range<size_t>(0, golden().at("tokenizers").size()), golden_name);

}  // namespace
}  // namespace millrace
