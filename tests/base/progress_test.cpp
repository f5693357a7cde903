#include "millrace/base/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

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
  /// What was printed up to and with `end`; a read may give less than was written.
  std::string printed_until(std::string_view end) const {
    std::fflush(stderr);
    std::string text;
    std::array<char, 4096> buffer{};
    pollfd ready{controller_, POLLIN, 0};
    while (!text.ends_with(end) && ::poll(&ready, 1, 5000) == 1) {
      const ssize_t count = ::read(controller_, buffer.data(), buffer.size());
      if (count <= 0) break;
      text.append(buffer.data(), static_cast<size_t>(count));
    }
    return text;
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
    printed = terminal.printed_until("result\r\n");
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
