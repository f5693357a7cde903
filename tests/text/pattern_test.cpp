#include "millrace/text/pattern.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/text/pattern_syntax.h"
#include "millrace/text/pre_tokenizer.h"
#include "millrace/text/pre_tokenizer_names.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;

Strings matches(std::string_view expression, std::string_view text) {
  std::vector<TextRange> ranges;
  Pattern(expression, "test", Effort::kCounted).find_all(text, ranges);
  Strings found;
  for (const TextRange& range : ranges) {
    found.emplace_back(text.substr(range.begin, range.end - range.begin));
  }
  return found;
}

// Expected results are Oniguruma's, with Ruby's syntax.
TEST(Pattern, MatchesAsOnigurumaDoes) {
  EXPECT_EQ(matches(R"(\p{N}{1,3})", "12345"), (Strings{"123", "45"}));
  EXPECT_EQ(matches(R"(\p{N}{1,3}+)", "12345"), (Strings{"12345"}));  // a repeat of the repeat
  EXPECT_EQ(matches(R"((?:ab){2}+)", "ababababab"), (Strings{"abababab"}));
  EXPECT_EQ(matches(R"(a{,2}b)", "aaab"), (Strings{"aab"}));
  EXPECT_EQ(matches(R"(a{x)", "a{x"), (Strings{"a{x"}));
  EXPECT_EQ(matches(R"([a[bc]]+)", "abcd"), (Strings{"abc"}));  // a union
  EXPECT_EQ(matches(R"([^(\s|[.,])]+)", "ab c.d"), (Strings{"ab", "c", "d"}));
  EXPECT_EQ(matches(R"(\h+)", "xyz 12aF"), (Strings{"12aF"}));
  EXPECT_EQ(matches(R"(a.)", "a\nab"), (Strings{"ab"}));
  EXPECT_EQ(matches(R"((?m:a.))", "a\nab"), (Strings{"a\n", "ab"}));
  EXPECT_EQ(matches(R"(\w+$)", "one\ntwo"), (Strings{"one", "two"}));
  EXPECT_EQ(matches(R"(\x{4e00}\u4e8c\x21)", "一二!"), (Strings{"一二!"}));
  EXPECT_EQ(matches(R"((?i:'s|'re))", "'S're'RE's"), (Strings{"'S", "'re", "'RE", "'s"}));
  EXPECT_EQ(matches(R"((?<name>a)\k<name>)", "aab"), (Strings{"aa"}));
  EXPECT_EQ(matches(R"(\v)", "\n\v"), (Strings{"\v"}));
}

TEST(Pattern, IntersectsClasses) {
  EXPECT_EQ(matches(R"([a-z&&[^aeiou]]+)", "hello"), (Strings{"h", "ll"}));
  EXPECT_EQ(matches(R"(x[\p{Lo}\p{M}&&[^\p{Han}]]*y)", "xアy x中y"), (Strings{"xアy"}));
  EXPECT_EQ(matches(R"([\w&&[\p{L}]])", "1a_"), (Strings{"a"}));
}

TEST(Pattern, TakesScriptsWithoutTheirExtensions) {
  EXPECT_EQ(matches(R"(\p{Han}+)", "中々、文ア\U00031350"), (Strings{"中々", "文", "\U00031350"}));
  EXPECT_EQ(matches(R"([\p{Hiragana}]+)", "あー"), (Strings{"あ"}));
}

TEST(Pattern, KnowsUnicode16) {
  EXPECT_EQ(matches(R"(\s)", "\u180e\u00a0\u3000"), (Strings{"\u00a0", "\u3000"}));
  EXPECT_EQ(matches(R"([^\S]+)", "\u180e \u0085"), (Strings{" \u0085"}));
  EXPECT_EQ(matches(R"(\p{L}+)", "\U00031350\U0002ebf0!"), (Strings{"\U00031350\U0002ebf0"}));
  EXPECT_EQ(matches(R"([^\p{S}]+)", "a\U0001fae8b"), (Strings{"a", "b"}));  // an emoji of 2022
  EXPECT_EQ(matches(R"(\P{N})", "\U0001e4f0x"), (Strings{"x"}));
  EXPECT_EQ(matches(R"(\p{^L})", "\U00031350x!"), (Strings{"!"}));
}

TEST(Pattern, FindsEmptyMatchesOnce) {
  std::vector<TextRange> ranges;
  Pattern(R"((?=\d))", "test", Effort::kCounted).find_all("a12", ranges);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].begin, 1u);
  EXPECT_EQ(ranges[1].begin, 2u);
  EXPECT_EQ(matches("x*", "xxy"), (Strings{"xx", ""}));
}

TEST(Pattern, LiteralExpressionsMatchThemselves) {
  for (std::string text : {"a.b", "(x)[y]{z}", "^$|?*+\\", "春 天", "-#&~"}) {
    EXPECT_EQ(matches(literal_expression(text), "<" + text + ">"), Strings{text});
  }
}

TEST(Pattern, RefusesWhatItCannotTranslate) {
  for (const char* expression :
       {"(",         "[a",      "\\",       "[a&&b]",  "[^a&&[b]]",     "[a[b&&[c]]]",
        "[a&&[b]c]", "[a[^b]]", "(?<=a+)b", "(*UTF)a", "(?C1)a",        "(?R)",
        "\\Qa\\E",   "\\xff",   "\\C",      "[\\W]",   "\\p{Nonsense}", "\\pL",
        "\\u12",     "a**{",    "\xff"}) {
    EXPECT_THROW(Pattern(expression, "file", Effort::kCounted), Error) << expression;
  }
  EXPECT_THROW(Pattern(std::string(1 << 20, 'a'), "file", Effort::kCounted), Error);
}

TEST(Pattern, StopsWhenItTakesTooLong) {
  std::string text = std::string(20000, 'a') + "cb1";
  for (const char* expression :
       {"(a+)+b", "a+b", "a++b", "(?:a|a)*b", "(a*)*bb", "(?>a+)b", "[a-z]+\\d\\d"}) {
    try {
      matches(expression, text);
      ADD_FAILURE() << expression;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("match limit"), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(matches("a+", text).size(), 1u);
}

// Known pre-tokenizers run uncounted; counted, they must stay within a number of steps that is
// linear in the text, on texts that are hard for backtracking.
TEST(Pattern, KnownExpressionsAreLinear) {
  std::vector<std::string_view> expressions = {R"((?<!\s)\s+$)"};
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    for (std::string_view expression : entry.expressions) {
      if (expression != R"(\s+$)") expressions.push_back(expression);
    }
  }
  for (const char* unit :
       {"a", "A", " ", "\n", "1", "的", "'", "!", "\u0301", " \n", "aA", "=", "，", " a"}) {
    for (const char* end : {"", "x", "1", " ", "\n"}) {
      std::string text;
      while (text.size() < 30000) text += unit;
      text += end;
      for (std::string_view expression : expressions) {
        EXPECT_NO_THROW(matches(expression, text)) << expression << " on many " << unit << end;
      }
    }
  }
}

TEST(Pattern, TakesALongTextAtOnce) {
  for (const char* unit : {"a", " ", "的", "1"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    text += "x";
    for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
      std::vector<TextRange> words;
      PreTokenizer::named(entry.names.front(), "test").split(text, words);
      EXPECT_EQ(words.back().end, text.size());
    }
  }
}

}  // namespace
}  // namespace millrace
