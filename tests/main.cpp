// Runs the tests; where CI is set, a skipped test counts as a failure.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int status = RUN_ALL_TESTS();
  int skipped = testing::UnitTest::GetInstance()->skipped_test_count();
  if (std::getenv("CI") != nullptr && skipped > 0) {
    std::fprintf(stderr, "%d tests were skipped, which CI does not allow\n", skipped);
    return 1;
  }
  return status;
}
