#include "millrace/base/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <stdlib.h>
#include <array>
#include <cstdio>
#include <string>

namespace millrace {
namespace {

/// Standard error is a terminal while this lives.
class Terminal {
 public:
  Terminal() : before_(::dup(STDERR_FILENO)), controller_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    ::grantpt(controller_);
    ::unlockpt(controller_);
    const int terminal = ::open(::ptsname(controller_), O_RDWR | O_NOCTTY);
    ::dup2(terminal, STDERR_FILENO);
    ::close(terminal);
  }
  ~Terminal() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(controller_);
  }
  /// What was printed; at least something must have been.
  std::string printed() const {
    std::fflush(stderr);
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(controller_, buffer.data(), buffer.size());
    return {buffer.data(), static_cast<size_t>(count > 0 ? count : 0)};
  }

 private:
  int before_, controller_;
};

TEST(Progress, FillsItsLineAndEndsItBeforeResultsArePrinted) {
  std::string printed;
  {
    Terminal terminal;
    Progress progress("work", 100);
    progress.update(40, "going");
    progress.finish();
    std::fputs("result\n", stderr);
    printed = terminal.printed();
  }
  EXPECT_NE(printed.find("40 %  going"), std::string::npos) << printed;
  const size_t full = printed.find("100 %");
  ASSERT_NE(full, std::string::npos) << printed;
  EXPECT_EQ(printed.substr(printed.find('\n', full) + 1), "result\r\n");
}

TEST(Progress, SaysNothingOutsideOfATerminal) {
  testing::internal::CaptureStderr();
  {
    Progress progress("work", 2);
    progress.update(2);
    progress.finish();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace millrace
