// A progress bar on standard error, when that is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

/// Shows "label  [#####.....]  42 %  note  0:12 left" on one line, at most ten times a second.
/// Prints nothing when standard error is not a terminal. Ends its line when it goes.
class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done, std::string_view note = {});
  /// Fills the bar and ends its line; to be called before results are printed below it.
  void finish();

 private:
  std::string label_;
  int64_t total_;
  std::chrono::steady_clock::time_point start_, shown_;
  bool terminal_;
  bool drawn_ = false;
};

}  // namespace millrace
