#include "millrace/base/base64.h"

#include <gtest/gtest.h>

#include "millrace/base/random.h"

namespace millrace {
namespace {

TEST(Base64, GivesBackWhatItWrote) {
  EXPECT_EQ(to_base64("Hello!!"), "SGVsbG8hIQ==");
  EXPECT_EQ(from_base64("SGVsbG8hIQ=="), "Hello!!");
  EXPECT_EQ(from_base64("SGVsbG8hIQ"), "Hello!!");
  Random random(1);
  for (size_t size = 0; size < 100; ++size) {
    std::string bytes;
    for (size_t i = 0; i < size; ++i) bytes += static_cast<char>(random.bits());
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  }
}

TEST(Base64, RefusesWhatIsNot) {
  for (const char* text : {"A", "AAAAA", "A B=", "AA=A", "A===", "SGV\n"}) {
    EXPECT_FALSE(from_base64(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace millrace
