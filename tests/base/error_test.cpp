#include "millrace/base/error.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Quote, EscapesControlCharacters) {
  EXPECT_EQ(quote("wte.weight"), "'wte.weight'");
  EXPECT_EQ(quote("a\x1b[2J\n"), "'a\\x1b[2J\\x0a'");
  EXPECT_EQ(quote("床前"), "'床前'");
}

TEST(Quote, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(quote(std::string(100, 'a')), "'" + std::string(100, 'a') + "'");
  EXPECT_EQ(quote(std::string(101, 'a')), "'" + std::string(100, 'a') + "…'");
  EXPECT_EQ(quote(std::string(99, 'a') + "床"), "'" + std::string(99, 'a') + "…'");
  EXPECT_EQ(quote(std::string(1000, '\x80')), "'…'");
}

}  // namespace
}  // namespace millrace
