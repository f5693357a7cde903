// A thread that serves connections: reads requests, hands them to workers, sends the answers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "millrace/serve/http/server.h"

struct ssl_st;  // OpenSSL's SSL

namespace millrace::http {

/// What the io threads of a server share.
struct Service {
  ServerOptions options;
  Router router;
  std::function<void(std::function<void()>)> run_on_worker;
  std::atomic<bool> draining = false;
  std::atomic<size_t> connections = 0, requests = 0, streams = 0, body_bytes = 0;

  void report(std::string_view problem) const {
    if (options.on_problem) options.on_problem(problem);
  }
};

class IoThread {
 public:
  explicit IoThread(std::shared_ptr<Service> service);
  ~IoThread();  ///< stops

  /// Serves a connected socket, which is ours from here on; `tls` likewise, nullptr for none.
  void adopt(int socket, ssl_st* tls);
  /// Completes every answer that is under way, as Answer::end does.
  void end_answers();
  /// Closes every connection and joins the thread.
  void stop();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace millrace::http
