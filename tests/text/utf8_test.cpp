#include "millrace/text/utf8.h"

#include <gtest/gtest.h>

#include "millrace/base/random.h"

namespace millrace {
namespace {

using namespace std::string_literals;

TEST(Utf8, WritesAndReadsEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(utf8_length(text), text.size());
    ASSERT_EQ(decode_utf8(text), c);
    for (size_t kept = 1; kept < text.size(); ++kept) {
      ASSERT_EQ(utf8_length(text.substr(0, kept)), 0u);
      ASSERT_EQ(utf8_incomplete_length("ab" + text.substr(0, kept)), kept);
    }
    ASSERT_EQ(utf8_incomplete_length(text), 0u);
  }
}

TEST(Utf8, RefusesWhatIsNotWellFormed) {
  for (const std::string& bytes :
       {"\x80"s, "\xc0\x80"s, "\xc1\xbf"s, "\xe0\x80\x80"s, "\xe0\x9f\xbf"s, "\xed\xa0\x80"s,
        "\xed\xbf\xbf"s, "\xf0\x80\x80\x80"s, "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xff"s}) {
    EXPECT_EQ(utf8_length(bytes), 0u);
    EXPECT_EQ(utf8_incomplete_length(bytes), 0u);
    EXPECT_FALSE(is_utf8(bytes));
  }
}

// The examples of the Unicode standard, chapter 3.9, tables 3-8 to 3-11.
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"s),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"s),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"s),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replace_invalid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"s), r + r + r + r + "A");
}

TEST(Utf8, FindsTheValidPrefixOfRandomBytes) {
  Random random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t count = random.below(30); count > 0; --count) {
      append_utf8(text, static_cast<char32_t>(random.below(random.below(4) == 0 ? 0x3000 : 0x80)));
    }
    size_t expected = text.size();
    if (random.below(2) == 0) text += static_cast<char>(0x80 + random.below(0x40));
    EXPECT_EQ(utf8_valid_prefix(text), expected);
  }
}

}  // namespace
}  // namespace millrace
