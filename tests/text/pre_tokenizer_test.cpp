#include "millrace/text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/base/error.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;

Strings split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  std::vector<TextRange> ranges;
  pre_tokenizer.split(text, ranges);
  Strings words;
  for (const TextRange& range : ranges) {
    words.emplace_back(text.substr(range.begin, range.end - range.begin));
  }
  return words;
}

Json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
}

Json sequence(const Json& step) {
  return {{"type", "Sequence"}, {"pretokenizers", {step, byte_level()}}};
}

Json split_step(const char* kind, const char* pattern, const char* behavior, bool invert) {
  return {{"type", "Split"},
          {"pattern", {{kind, pattern}}},
          {"behavior", behavior},
          {"invert", invert}};
}

PreTokenizer from(const Json& json) {
  return PreTokenizer::from_json(json, "test");
}

TEST(PreTokenizer, SplitsAsEachBehaviorSays) {
  auto words = [](const char* behavior, bool invert = false) {
    return split(from(sequence(split_step("String", "-", behavior, invert))),
                 "The-final--countdown");
  };
  EXPECT_EQ(words("Removed"), (Strings{"The", "final", "countdown"}));
  EXPECT_EQ(words("Isolated"), (Strings{"The", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(words("MergedWithPrevious"), (Strings{"The-", "final-", "-", "countdown"}));
  EXPECT_EQ(words("MergedWithNext"), (Strings{"The", "-final", "-", "-countdown"}));
  EXPECT_EQ(words("Contiguous"), (Strings{"The", "-", "final", "--", "countdown"}));
  EXPECT_EQ(words("Removed", true), (Strings{"-", "-", "-"}));
}

TEST(PreTokenizer, ReadsEveryKind) {
  EXPECT_EQ(split(from(sequence({{"type", "Digits"}, {"individual_digits", true}})), "ab12²c"),
            (Strings{"ab", "1", "2", "²", "c"}));
  EXPECT_EQ(split(from(sequence({{"type", "Digits"}})), "ab12c"), (Strings{"ab", "12", "c"}));
  EXPECT_EQ(split(from(sequence({{"type", "Punctuation"}})), "a$b。c"),
            (Strings{"a", "$", "b", "。", "c"}));
  EXPECT_EQ(split(from({{"type", "ByteLevel"}, {"add_prefix_space", false}}), "Hello  world's 42"),
            (Strings{"Hello", " ", " world", "'s", " 42"}));
  EXPECT_TRUE(from({{"type", "ByteLevel"}}).add_prefix_space());
}

TEST(PreTokenizer, WritesWhatItReads) {
  std::string text = "It's 12345 tests, isn't it?\n\n  你好！x_y-z";
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    PreTokenizer original = PreTokenizer::named(entry.names.front(), "test");
    PreTokenizer copy = from(original.to_json(true));
    EXPECT_TRUE(copy.isolates(entry.expressions)) << entry.names.front();
    EXPECT_EQ(split(copy, text), split(original, text)) << entry.names.front();
  }
  for (bool use_regex : {false, true}) {
    PreTokenizer original = from({{"type", "ByteLevel"}, {"use_regex", use_regex}});
    PreTokenizer copy = from(original.to_json(true));
    EXPECT_TRUE(copy.add_prefix_space());
    EXPECT_EQ(split(copy, text), split(original, text));
  }
}

/// The lengths of the words of a text of all characters, in order.
std::pair<size_t, uint64_t> words_of_all_characters(const char* type) {
  std::string all;
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c < 0xd800 || c > 0xdfff) append_utf8(all, c);
  }
  std::vector<int32_t> lengths;
  for (const std::string& word : split(from({{"type", type}}), all)) {
    lengths.push_back(static_cast<int32_t>(word.size()));
  }
  return {lengths.size(), hash_ids(lengths, kEmptyHash)};
}

// Expected numbers are those of tokenizers 0.23.3.
TEST(PreTokenizer, KnowsEachCharacterAsHuggingFaceDoes) {
  EXPECT_EQ(words_of_all_characters("Whitespace"), std::pair(size_t{1601}, 0x54911e465002a6e6u));
  EXPECT_EQ(words_of_all_characters("WhitespaceSplit"), std::pair(size_t{11}, 0x4f3e6eded5090057u));
}

TEST(PreTokenizer, KeepsEveryByteOfBrokenText) {
  std::vector<std::string> documents = corpus_documents(64);
  for (const char* name : {"gpt-2", "qwen2", "deepseek-v3", "deepseek-llm"}) {
    PreTokenizer pre_tokenizer = PreTokenizer::named(name, "test");
    for (const std::string& document : documents) {
      Strings words = split(pre_tokenizer, document);
      std::string joined;
      for (const std::string& word : words) {
        EXPECT_FALSE(word.empty());
        joined += word;
      }
      EXPECT_EQ(joined, document);
      // Words are those of the text with U+FFFD in the place of what is broken.
      Strings expected = split(pre_tokenizer, replace_invalid_utf8(document));
      ASSERT_EQ(words.size(), expected.size());
      for (size_t i = 0; i < words.size(); ++i) {
        EXPECT_EQ(replace_invalid_utf8(words[i]), expected[i]);
      }
    }
  }
}

TEST(PreTokenizer, RefusesWhatItDoesNotKnow) {
  Json split_regex = split_step("Regex", "a", "Isolated", false);
  Json after = {{"type", "Sequence"}, {"pretokenizers", {byte_level(), split_regex}}};
  Json prefix_after = {{"type", "Sequence"},
                       {"pretokenizers", {split_regex, {{"type", "ByteLevel"}}}}};
  for (const Json& json :
       {Json("ByteLevel"), Json::object(), Json{{"type", "Metaspace"}},
        Json{{"type", "UnicodeScripts"}}, after, prefix_after,
        sequence(split_step("Regex", "(", "Isolated", false)),
        sequence(split_step("Regex", "a", "Sideways", false)),
        sequence(split_step("Glob", "a", "Isolated", false)), Json{{"type", "Sequence"}}}) {
    EXPECT_THROW(from(json), Error) << json;
  }
  EXPECT_THROW(PreTokenizer::named("nonsense", "test"), Error);
}

}  // namespace
}  // namespace millrace
