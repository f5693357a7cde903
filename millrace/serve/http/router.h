// The table of routes: which handler answers a method and a path.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/serve/http/exchange.h"
#include "millrace/serve/http/message.h"

namespace millrace::http {

/// Answers a request now or later, from whichever thread. Runs on a worker thread; what it throws
/// becomes a 500 that tells the client nothing.
using Handler = std::function<void(Request, Exchange)>;

struct Route {
  std::string method;  ///< "GET" answers HEAD too
  /// Segments: literal, `{name}` for one, `{name...}` (once at most) for one or more with their
  /// slashes: "/v1/models/{model...}/load".
  std::string pattern;
  Handler handler;
  size_t body_limit = size_t{1} << 20;  ///< bytes; more is a 413
  bool open = false;                    ///< answered without the key, and while draining
  /// Requests with fewer bytes of body than this run their handler on the io thread, which saves
  /// waking a worker, some 0.05 ms: for handlers that are then done within a fraction of that.
  size_t quick_below = 0;
};

class Router {
 public:
  /// Throws Error when the pattern is malformed or already there. Where several patterns match a
  /// path, the first that was added answers.
  void add(Route route);

  struct Match {
    const Route* route = nullptr;  ///< nullptr: no route for the method; `allowed` may say others
    std::map<std::string, std::string> parameters;
    std::string allowed;  ///< methods of the path, as in an Allow header; empty: unknown path
  };
  Match match(std::string_view method, std::string_view path) const;

  std::span<const Route> routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace millrace::http
