// A server with a few routes, as the tests of transport need them.
#pragma once

#include <fmt/format.h>

#include <cerrno>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "millrace/serve/http/server.h"

namespace millrace::http {

/// Waits until `condition`, at most this long; what it was in the end.
inline bool eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds patience = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return condition();
}

/// Started at once, on any free port. /hello and /health say so; /echo gives the body back;
/// /limited the same up to 10 bytes; /models/{model...} gives the parameter; /throw throws; /drop
/// forgets its exchange; /hold and /stream keep it for the test to answer.
class Site {
 public:
  explicit Site(ServerOptions options = {}) : server_(prepared(std::move(options)), routes()) {
    server_.start();
  }
  ~Site() { server_.stop(); }

  Server& server() { return server_; }
  int port() const { return server_.port(); }

  /// The exchange of the n-th request to /hold or /stream; waits for it.
  Exchange held(size_t n = 0) {
    require(eventually([&] { return count() > n; }), "no request is held");
    const std::lock_guard lock(mutex_);
    return held_[n];
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  /// Forgets the exchanges that it holds.
  void forget() {
    std::vector<Exchange> gone;
    const std::lock_guard lock(mutex_);
    gone.swap(held_);
  }
  size_t num_closed() {
    const std::lock_guard lock(mutex_);
    return num_closed_;
  }
  std::vector<AccessRecord> log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }
  std::vector<std::string> problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }
  Request last_request() {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  ServerOptions prepared(ServerOptions options) {
    options.port = 0;
    options.on_access = [this](const AccessRecord& record) {
      const std::lock_guard lock(mutex_);
      log_.push_back(record);
    };
    options.on_problem = [this](std::string_view problem) {
      const std::lock_guard lock(mutex_);
      problems_.emplace_back(problem);
    };
    return options;
  }

  Router routes() {
    auto say = [](std::string text) {
      return [text](const Request&, const Exchange& exchange) {
        exchange.respond({200, {{"Content-Type", "text/plain"}}, text});
      };
    };
    auto echo = [this](Request request, const Exchange& exchange) {
      exchange.respond({200, {}, request.body});
      const std::lock_guard lock(mutex_);
      last_request_ = std::move(request);
    };
    auto hold = [this](const Request& request, const Exchange& exchange) {
      if (request.path == "/stream") exchange.begin_stream(event_stream());
      exchange.on_close([this] {
        const std::lock_guard lock(mutex_);
        ++num_closed_;
      });
      const std::lock_guard lock(mutex_);
      held_.push_back(exchange);
    };
    Router router;
    router.add({"GET", "/hello", say("hello")});
    router.add({"GET", "/health", say("well"), 0, true});
    router.add({"POST", "/echo", echo, size_t{64} << 20});
    router.add({"GET", "/echo", echo});
    router.add({"POST", "/limited", echo, 10});
    router.add({"GET", "/models/{model...}", [](const Request& request, const Exchange& exchange) {
                  exchange.respond({200, {}, request.path_parameters.at("model")});
                }});
    router.add({"GET", "/throw", [](const Request&, const Exchange&) {
                  throw std::runtime_error("a secret of the server");
                }});
    router.add({"POST", "/quick",
                [](const Request& request, const Exchange& exchange) {
                  if (request.body == "throw") throw std::runtime_error("a secret of the server");
                  exchange.respond({200, {}, fmt::format("{}", fmt::ptr(&errno))});
                },
                100, false, 10});
    router.add({"GET", "/drop", [](const Request&, const Exchange&) {}});
    router.add({"GET", "/hold", hold});
    router.add({"GET", "/stream", hold});
    return router;
  }

  std::mutex mutex_;
  std::vector<Exchange> held_;
  std::vector<AccessRecord> log_;
  std::vector<std::string> problems_;
  Request last_request_;
  size_t num_closed_ = 0;
  Server server_;
};

}  // namespace millrace::http
