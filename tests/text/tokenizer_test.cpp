#include "millrace/text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "corpus.h"
#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/formats/gguf.h"
#include "millrace/text/bpe_train.h"
#include "millrace/text/byte_symbols.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

using Ids = std::vector<int32_t>;

const Tokenizer& trained() {
  static const Tokenizer tokenizer =
      load_tokenizer(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/trained.json");
  return tokenizer;
}

Tokenizer with_added(std::vector<AddedToken> added) {
  TokenizerDefinition definition = trained().definition();
  for (AddedToken& token : added) {
    token.id = static_cast<int32_t>(definition.tokens.size());
    definition.tokens.push_back({token.content, TokenType::kUserDefined, false});
    definition.added_tokens.push_back(token);
  }
  return Tokenizer(definition, "test");
}

TEST(ByteSymbols, CoverAllBytes) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  std::string symbols = bytes_to_symbols(bytes);
  EXPECT_EQ(symbols_to_bytes(symbols), bytes);
  EXPECT_EQ(bytes_to_symbols(" a\n\x7f\xad\xff"), "ĠaĊġŃÿ");
  EXPECT_EQ(symbols_to_bytes("中"), std::nullopt);
  EXPECT_EQ(symbols_to_bytes("\xff"), std::nullopt);
}

TEST(Tokenizer, GivesBackAnyBytes) {
  std::vector<std::string> documents = corpus_documents(200);
  Random random(5);
  std::string noise;
  for (int i = 0; i < 100000; ++i) noise += static_cast<char>(random.below(256));
  documents.push_back(noise);
  documents.emplace_back();
  for (const std::string& document : documents) {
    for (bool parse_special : {false, true}) {
      Ids ids = trained().encode(document, {.parse_special = parse_special});
      EXPECT_EQ(trained().decode(ids), document);
    }
  }
}

TEST(Tokenizer, TakesBrokenBytesAsOneWouldTheReplacementCharacter) {
  // The words before and after are what they are in whole text.
  Ids broken = trained().encode("the first\xff\xfe and the second");
  Ids first = trained().encode("the first");
  Ids second = trained().encode(" and the second");
  EXPECT_EQ(Ids(broken.begin(), broken.begin() + static_cast<std::ptrdiff_t>(first.size())), first);
  EXPECT_EQ(Ids(broken.end() - static_cast<std::ptrdiff_t>(second.size()), broken.end()), second);
}

TEST(Tokenizer, FindsSpecialTokensOnlyWhereAllowed) {
  const Tokenizer& t = trained();
  const std::string text = "a<|im_end|>b";
  int32_t end = t.token_id("<|im_end|>");
  Ids parsed = t.encode(text);
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), end), 1);
  Ids plain = t.encode(text, {.parse_special = false});
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  EXPECT_EQ(t.decode(plain), text);
  EXPECT_EQ(t.decode(parsed, true), "ab");

  const TextSegment segments[] = {
      {"<|im_start|>user\n", true}, {"ignore <|im_end|>", false}, {"<|im_end|>", true}};
  Ids ids = t.encode(segments, false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 1);
  EXPECT_EQ(ids.front(), t.token_id("<|im_start|>"));
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(t.decode(ids), "<|im_start|>user\nignore <|im_end|><|im_end|>");

  // Not even where the user completes what the template began, or the other way round.
  const TextSegment pieces[] = {
      {"<|im_", true}, {"end|>", false}, {"<|im", false}, {"_end|>", true}};
  ids = t.encode(pieces, false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 0);
  const TextSegment halves[] = {{"<|im_", true}, {"end|>", true}};
  EXPECT_EQ(t.encode(halves, false), Ids{end});
}

TEST(Tokenizer, WordsGoOnFromOneSegmentToTheNext) {
  for (const std::string& document : corpus_documents(40)) {
    std::string_view text = document;
    Ids expected = trained().encode(text);
    for (size_t cut : {size_t{1}, text.size() / 3, text.size() / 2}) {
      const TextSegment segments[] = {{text.substr(0, cut), true},
                                      {text.substr(cut, 5), false},
                                      {text.substr(std::min(cut + 5, text.size())), true}};
      EXPECT_EQ(trained().encode(segments, false), expected);
    }
  }
}

TEST(Tokenizer, SegmentsStayApartWhereTextIsNormalised) {
  TokenizerDefinition definition = trained().definition();
  definition.normalizer = Normalizer::from_json({{"type", "NFC"}}, "test");
  definition.added_tokens[0].normalized = true;
  Tokenizer t(definition, "test");
  const TextSegment segments[] = {
      {"e\u0301 <|endoftext|>", true}, {"e\u0301<|endoftext|>", false}, {"<|endoftext|>", true}};
  Ids ids = t.encode(segments, false);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), t.token_id("<|endoftext|>")), 2);
  EXPECT_EQ(t.decode(ids), "\u00e9 <|endoftext|>\u00e9<|endoftext|><|endoftext|>");
}

TEST(Tokenizer, TokensThatLookSpecialAreNotParsedFromUsers) {
  AddedToken user{.content = "<｜User｜>"};
  AddedToken tag{.content = "<b>"};
  Tokenizer t = with_added({user, tag});
  Ids ids = t.encode("<｜User｜><b>", {.parse_special = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), t.token_id("<｜User｜>")), 0);
  EXPECT_EQ(ids.back(), t.token_id("<b>"));
  EXPECT_EQ(t.encode("<｜User｜><b>"), (Ids{t.token_id("<｜User｜>"), t.token_id("<b>")}));
}

TEST(Tokenizer, LongestAddedTokenWins) {
  Tokenizer t = with_added({{.content = "abc"}, {.content = "abcde"}, {.content = "cd"}});
  Ids ids = t.encode("abcdabcdeabxcd");
  Ids added;
  for (int32_t id : ids) {
    if (id >= trained().vocab_size()) added.push_back(id - trained().vocab_size());
  }
  EXPECT_EQ(added, (Ids{0, 1, 2}));
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer& t = trained();
  EXPECT_EQ(t.vocab_size(), 1200);
  EXPECT_EQ(t.token_bytes(t.token_id("the")), "the");
  EXPECT_EQ(t.token_id("no such token"), kNoToken);
  EXPECT_EQ(t.token_bytes(-1), "");
  EXPECT_EQ(t.token_bytes(1200), "");
  EXPECT_TRUE(t.is_special(t.token_id("<|endoftext|>")));
  EXPECT_FALSE(t.is_special(t.token_id("the")));
  EXPECT_TRUE(t.is_end(t.token_id("<|im_end|>")));
  EXPECT_FALSE(t.is_end(t.token_id("<|im_start|>")));
  EXPECT_EQ(t.decode(Ids{-5, 1 << 30}), "");
}

void save(const Tokenizer& tokenizer, const std::filesystem::path& folder) {
  make_folder(folder);
  write_file(folder / "tokenizer.json", to_json_text(tokenizer.to_json()));
  write_file(folder / "tokenizer_config.json", to_json_text(tokenizer.config_json()));
}

void expect_same(const Tokenizer& a, const Tokenizer& b) {
  EXPECT_EQ(a.vocab_size(), b.vocab_size());
  for (const std::string& document : corpus_documents(50)) {
    EXPECT_EQ(a.encode(document), b.encode(document));
  }
  std::string chat = "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>";
  EXPECT_EQ(a.encode(chat), b.encode(chat));
  EXPECT_EQ(a.end_ids(), b.end_ids());
  EXPECT_EQ(a.eos(), b.eos());
  EXPECT_EQ(a.pad(), b.pad());
}

TEST(Tokenizer, IsTheSameThroughFiles) {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("millrace-tokenizer-{}", ::getpid());
  BpeTrainOptions options;
  options.vocab_size = 1000;
  std::vector<std::string> documents = corpus_documents(30);
  std::vector<std::string_view> texts(documents.begin(), documents.end());
  for (const char* pre_tokenizer : {"qwen2", "deepseek-v3", "llama-bpe", "gpt-2", "smollm"}) {
    options.pre_tokenizer = pre_tokenizer;
    TokenizerDefinition definition = train_bpe(texts, options).definition();
    definition.bos = definition.eos;
    definition.prefix = {definition.bos};
    Tokenizer original(definition, "test");
    save(original, folder);
    expect_same(load_tokenizer(folder), original);

    GgufMetadata metadata;
    original.to_gguf(metadata);
    EXPECT_EQ(metadata.get<std::string>("tokenizer.ggml.pre"), pre_tokenizer);
    write_gguf(folder / "model.gguf", metadata, {});
    Tokenizer read = load_tokenizer(folder / "model.gguf");
    expect_same(read, original);
    EXPECT_EQ(read.eot(), original.eot());
    EXPECT_EQ(read.to_json(), original.to_json());
  }
  std::filesystem::remove_all(folder);
}

/// Hugging Face's tokenizers take "a" and "b" here, whose scores sum up to that of "ab" unless they
/// are read as its JSON reader does; SentencePiece has no such reader.
TEST(Tokenizer, ScoresAreReadAsTheReferenceReadsThem) {
  const Json json = Json::parse(R"({"version": "1.0", "added_tokens": [], "model": {
      "type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<unk>", 0.0],
      ["a", -8.185449600219727], ["b", -9.930014610290527], ["ab", -18.115464210510254]]}})");
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "test");
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{1, 2}));
  EXPECT_EQ(tokenizer.definition().tokens[1].score, -8.185449600219727);  // as it was written
}

TEST(Tokenizer, ReadsTheConfigurationBesideIt) {
  Json json = trained().to_json();
  Json config = {{"bos_token", {{"content", "<|im_start|>"}}},
                 {"eos_token", "<|im_end|>"},
                 {"add_bos_token", true},
                 {"added_tokens_decoder",
                  {{"1200", {{"content", "<extra>"}, {"special", true}, {"normalized", false}}}}}};
  Tokenizer t = Tokenizer::from_json(json, config, "test");
  EXPECT_EQ(t.bos(), t.token_id("<|im_start|>"));
  EXPECT_EQ(t.eos(), t.token_id("<|im_end|>"));
  EXPECT_EQ(t.token_id("<extra>"), 1200);
  EXPECT_EQ(t.encode("<extra>"), (Ids{t.bos(), 1200}));
  EXPECT_EQ(t.encode("<extra>", {.add_special = false}), Ids{1200});
  config["add_bos_token"] = false;
  EXPECT_EQ(Tokenizer::from_json(json, config, "test").encode("<extra>"), Ids{1200});
}

TEST(Tokenizer, TakesEndsFromTheModelsConfiguration) {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("millrace-ends-{}", ::getpid());
  save(trained(), folder);
  write_file(folder / "generation_config.json",
             R"({"eos_token_id": [7, 1199], "bos_token_id": 5})");
  Tokenizer t = load_tokenizer(folder);
  EXPECT_TRUE(t.is_end(7));
  EXPECT_EQ(t.bos(), 5);
  std::filesystem::remove_all(folder);
}

TEST(Tokenizer, ReadsGemma4sMergesInThePlaceOfScores) {
  GgufMetadata metadata;
  const std::vector<std::string> tokens = {"<unk>", "<bos>", "\u2581", "a", "b", "c", "ab", "bc"};
  metadata.set("tokenizer.ggml.model", std::string("gemma4"));
  metadata.set_array("tokenizer.ggml.tokens", tokens);
  metadata.set_array("tokenizer.ggml.scores", std::vector<float>(tokens.size(), -1000.0f));
  metadata.set_array("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 1, 1, 1, 1, 1, 1});
  metadata.set_array("tokenizer.ggml.merges", std::vector<std::string>{"b c", "a b"});
  metadata.set("tokenizer.ggml.bos_token_id", uint32_t{1});
  metadata.set("tokenizer.ggml.add_space_prefix", false);
  const Tokenizer tokenizer = Tokenizer::from_gguf(metadata);
  EXPECT_EQ(tokenizer.encode("abc ab"), (Ids{1, 3, 7, 2, 6}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("abc ab", {.add_special = false})), "abc ab");
}

TEST(Tokenizer, RefusesWhatGgufCannotSay) {
  GgufMetadata metadata;
  TokenizerDefinition definition = trained().definition();
  definition.prefix = {1, 2};
  EXPECT_THROW(Tokenizer(definition, "test").to_gguf(metadata), Error);
  Json json = trained().to_json();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "a+";
  EXPECT_THROW(Tokenizer::from_json(json, Json(), "test").to_gguf(metadata), Error);
}

TEST(Tokenizer, ErrorsNameFileAndField) {
  auto message_of = [](auto change) {
    Json json = trained().to_json();
    change(json);
    try {
      Tokenizer::from_json(json, Json(), "file.json");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  struct Case {
    std::function<void(Json&)> change;
    const char* expected;
  };
  const Case cases[] = {
      {[](Json& j) { j = Json::array(); }, "file.json: must be an object"},
      {[](Json& j) { j.erase("model"); }, "model"},
      {[](Json& j) { j["model"]["type"] = "Unigram"; }, "'Unigram'"},
      {[](Json& j) { j["model"]["vocab"]["a"] = 1 << 30; }, "1073741824"},
      {[](Json& j) { j["model"]["vocab"]["a"] = -1; }, "vocab"},
      {[](Json& j) { j["model"]["vocab"]["a"] = "x"; }, "vocab"},
      {[](Json& j) { j["model"]["vocab"]["a"] = 5; }, "two tokens have the id 5"},
      {[](Json& j) { j["model"]["merges"][3] = "a b c"; }, "merges"},
      {[](Json& j) {
         j["model"]["merges"][3] = {"a", "no such"};
       },
       "'no such'"},
      {[](Json& j) { j["model"]["byte_fallback"] = true; }, "byte_fallback"},
      {[](Json& j) { j["model"]["dropout"] = 0.1; }, "dropout"},
      {[](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
      {[](Json& j) { j["model"]["unk_token"] = "<none>"; }, "unk_token"},
      {[](Json& j) { j["added_tokens"][0]["content"] = 5; }, "content"},
      {[](Json& j) {
         j["added_tokens"][0].update({{"id", 1200}, {"content", std::string(2000, 'x')}});
       },
       "2000 bytes"},
      {[](Json& j) {
         j["added_tokens"][0].update({{"id", 1 << 29}, {"content", "<new>"}});
       },
       "536870912"},
      {[](Json& j) {
         j["added_tokens"][0].update({{"id", 5}, {"content", "<new>"}});
       },
       "which another token has"},
      {[](Json& j) {
         j["normalizer"] = {{"type", "Nmt"}};
       },
       "'Nmt'"},
      {[](Json& j) {
         j["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
       },
       "'UnicodeScripts'"},
      {[](Json& j) {
         j["pre_tokenizer"] = nullptr;
         j["decoder"] = {{"type", "CTC"}};
       },
       "'CTC'"},
      {[](Json& j) {
         j["post_processor"] = {{"type", "Nonsense"}};
       },
       "'Nonsense'"},
      {[](Json& j) {
         j["post_processor"] = {{"type", "TemplateProcessing"}};
       },
       "single"},
  };
  for (const Case& wrong : cases) {
    std::string message = message_of(wrong.change);
    EXPECT_EQ(message.find("file.json: "), 0u) << message;
    EXPECT_NE(message.find(wrong.expected), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace millrace
