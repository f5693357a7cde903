// The loops for well-known pre-tokenizers find the words that their regular expressions find.
#include "millrace/text/word_scanner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "corpus.h"
#include "millrace/base/random.h"
#include "millrace/text/character_class.h"
#include "millrace/text/pre_tokenizer.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

bool is_surrogate(char32_t c) {
  return c >= 0xd800 && c <= 0xdfff;
}

/// The code points that an expression matches, which must be one character long.
std::vector<bool> members(std::string_view expression) {
  std::string text;
  std::vector<char32_t> at;  // which code point begins at a byte
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (is_surrogate(c)) continue;
    append_utf8(text, c);
    at.resize(text.size(), c);
  }
  std::vector<TextRange> ranges;
  Pattern(expression, "test", Effort::kLinear).find_all(text, ranges);
  std::vector<bool> result(0x110000);
  for (const TextRange& range : ranges) {
    for (size_t i = range.begin; i < range.end; ++i) result[at[i]] = true;
  }
  return result;
}

TEST(CharacterClasses, AreThoseOfTheExpressions) {
  struct {
    const char* expression;
    uint8_t classes;
  } cases[] = {{R"(\p{L}+)", kLetter},
               {R"(\p{N}+)", kNumber},
               {R"(\s+)", kSpace},
               {R"(\p{M}+)", kMark},
               {R"([\p{Lu}\p{Lt}]+)", kUpper},
               {R"(\p{Ll}+)", kLower},
               {R"([\r\n]+)", kLineEnd},
               {R"([^\s\p{L}\p{M}\p{N}]+)", kOther},
               {R"([\p{L}\p{M}]+)", kLetter | kMark}};
  for (const auto& one : cases) {
    std::vector<bool> expected = members(one.expression);
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (is_surrogate(c)) continue;
      bool is_member = (CharacterClasses::instance().of(c) & one.classes) != 0;
      ASSERT_EQ(is_member, expected[c]) << one.expression << fmt::format(" U+{:04X}", int64_t{c});
    }
  }
  std::vector<bool> han = members(R"(\p{Han}+)");
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (is_surrogate(c)) continue;
    bool is_han = (CharacterClasses::with_han().of(c) & kHan) == kHan;
    ASSERT_EQ(is_han, han[c]) << fmt::format("U+{:04X}", int64_t{c});
  }
  std::vector<bool> no_case = members(R"([\p{Lm}\p{Lo}]+)");
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (is_surrogate(c)) continue;
    uint8_t classes = CharacterClasses::instance().of(c) & (kLetter | kUpper | kLower);
    ASSERT_EQ(classes == kLetter, no_case[c]) << fmt::format("U+{:04X}", int64_t{c});
  }
}

/// Characters whose neighbourhood decides where words end, and now and then any other.
std::string random_text(Random& random) {
  static const std::vector<std::string> kPieces = {
      "a",      "B",          "z",          "S",          "é",          "É",      "ǅ",   "ʰ",
      "的",     "中",         "ا",          "1",          "٣",          "Ⅷ",      "½",   " ",
      " ",      " ",          "\t",         "\u00a0",     "　",         "\n",     "\r",  "\r\n",
      "\u0085", "'",          "'",          "'s",         "'S",         "'t",     "'re", "'VE",
      "'m",     "'lL",        "'d",         "'ſ",         "ſ",          "l",      "!",   "/",
      ".",      "，",         "。",         "\u0301",     "\u0e31",     "\u20dd", "😀",   "\u200d",
      "_",      "\U0001fae8", "\U00010d50", "\U00010d70", "\U0002ebf0", "K",      "-",   "〇",
      "⺀",     "々",         "\U00016ff0"};
  std::string text;
  // Some texts use few pieces, so that runs become long.
  uint64_t most = random.below(2) == 0 ? kPieces.size() : 2 + random.below(6);
  uint64_t first = random.below(kPieces.size());
  for (uint64_t count = random.below(40); count > 0; --count) {
    if (random.below(16) == 0) {
      char32_t c = static_cast<char32_t>(random.below(random.below(2) == 0 ? 0x3000 : 0x20000));
      append_utf8(text, is_surrogate(c) ? U'x' : c);
    } else {
      text += kPieces[(first + random.below(most) * 7) % kPieces.size()];
    }
  }
  return text;
}

class WordScanners : public testing::TestWithParam<std::string> {
 protected:
  /// The same pre-tokenizer, run by the regular expressions, which it does not recognise in groups.
  static PreTokenizer by_expressions() {
    Json steps = Json::array();
    for (std::string_view expression : find_named_pre_tokenizer(GetParam())->expressions) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", fmt::format("(?:{})", expression)}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    steps.push_back({{"type", "ByteLevel"},
                     {"add_prefix_space", false},
                     {"trim_offsets", true},
                     {"use_regex", false}});
    return PreTokenizer::from_json({{"type", "Sequence"}, {"pretokenizers", steps}}, "test");
  }

  static std::vector<std::string> words(const PreTokenizer& pre_tokenizer, std::string_view text) {
    std::vector<TextRange> ranges;
    pre_tokenizer.split(text, ranges);
    std::vector<std::string> result;
    for (const TextRange& range : ranges) {
      result.emplace_back(text.substr(range.begin, range.end - range.begin));
    }
    return result;
  }
};

TEST_P(WordScanners, FindTheWordsOfTheExpressions) {
  PreTokenizer expected = by_expressions();
  PreTokenizer fast = PreTokenizer::named(GetParam(), "test");
  ASSERT_NE(find_word_scanner(find_named_pre_tokenizer(GetParam())->expressions), nullptr);
  for (uint64_t seed = 0; seed < 6000; ++seed) {
    Random random(seed);
    std::string text = random_text(random);
    ASSERT_EQ(words(fast, text), words(expected, text)) << "seed " << seed << ": " << text;
  }
  for (const std::string& document : corpus_documents(160)) {
    ASSERT_EQ(words(fast, document), words(expected, document)) << document;
  }
}

INSTANTIATE_TEST_SUITE_P(Named, WordScanners,
                         testing::Values("gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35",
                                         "seed-coder", "bailingmoe", "tekken", "gpt-4o", "kimi-k2"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(WordScanner, IsThereOnlyForKnownExpressions) {
  std::vector<std::string_view> unknown = {R"(\p{L}+)"};
  EXPECT_EQ(find_word_scanner(unknown), nullptr);
  EXPECT_EQ(find_word_scanner({}), nullptr);
  EXPECT_EQ(find_word_scanner(find_named_pre_tokenizer("deepseek-v3")->expressions), nullptr);
}

}  // namespace
}  // namespace millrace
