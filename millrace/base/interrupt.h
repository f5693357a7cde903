// Ctrl-C as a question that a loop may ask, instead of the end of the process.
#pragma once

#include <csignal>

namespace millrace {

/// While one lives, the first SIGINT or SIGTERM only sets a flag; the second ends the process as
/// usual. One at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Whether the signal has come.
  bool requested() const;

 private:
  struct sigaction before_int_ {};
  struct sigaction before_term_ {};
};

}  // namespace millrace
