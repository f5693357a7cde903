#include "millrace/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace millrace {
namespace {

constexpr int64_t kWidth = 30;

std::string minutes(double seconds) {
  auto whole = static_cast<int64_t>(seconds);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)),
      total_(std::max<int64_t>(total, 1)),
      start_(std::chrono::steady_clock::now()),
      terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stderr);
}

void Progress::finish() {
  if (!drawn_) return;
  update(total_);
  std::fputc('\n', stderr);
  drawn_ = false;
}

void Progress::update(int64_t done, std::string_view note) {
  auto now = std::chrono::steady_clock::now();
  if (!terminal_ || (done < total_ && now - shown_ < std::chrono::milliseconds(100))) return;
  shown_ = now;
  done = std::clamp<int64_t>(done, 0, total_);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double left =
      done == 0 ? 0 : elapsed * static_cast<double>(total_ - done) / static_cast<double>(done);
  const auto filled = static_cast<size_t>(kWidth * done / total_);
  fmt::print(stderr, "\r{:<24} [{}{}] {:3} %  {}  {} {}\x1b[K", label_, std::string(filled, '#'),
             std::string(static_cast<size_t>(kWidth) - filled, '.'), 100 * done / total_, note,
             done == total_ ? minutes(elapsed) : minutes(left), done == total_ ? "" : "left");
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace millrace
