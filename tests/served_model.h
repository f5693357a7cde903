// A service over tiny models of random weights, for the tests of what clients see.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/scratch.h"

namespace millrace {

struct ServedRoute {
  std::string method, pattern;
  bool open;  ///< needs no key
};

/// Serves "tiny", whose template knows no tools, with the adapters "tiny:fish" and "tiny:bird", and
/// "org/hermes", whose template does, on a free port of this machine. Models of one layer that talk in bytes, 2,048 positions.
class TinyService {
 public:
  /// `settings` as "max-queue=4 prefix-cache=off". Comes back when the models are loaded.
  explicit TinyService(const std::string& settings = "");
  ~TinyService();

  int port() const;
  /// Ends the service as SIGTERM does; false: something had to be broken off.
  bool drain();
  std::vector<ServedRoute> routes() const;
  /// The lines of its log so far.
  std::vector<std::string> log() const;

 private:
  struct Running;

  ScratchFolder folder_;
  std::unique_ptr<Running> running_;
};

}  // namespace millrace
