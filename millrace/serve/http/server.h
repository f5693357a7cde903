// The HTTP server: connections in, requests to handlers, answers out. Knows nothing of models.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/serve/http/router.h"

namespace millrace::http {

/// One answered request, for the access log and for metrics.
struct AccessRecord {
  std::string id, method, path;  ///< path without the query, which may hold secrets
  std::string route;             ///< the pattern; empty where none matched
  std::string remote_address;
  int status = 0;        ///< 499: the client went before there was an answer
  size_t bytes = 0;      ///< of the body, as sent
  double seconds = 0;    ///< from the request's head to the answer's last byte
  bool complete = true;  ///< false: the client went, or the stream broke off
};

/// The record as one line of JSON, without the line's end.
std::string to_log_line(const AccessRecord& record);

struct ServerOptions {
  using Duration = std::chrono::milliseconds;

  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free; Server::port() says which
  int io_threads = 1;
  int worker_threads = 2;  ///< run handlers

  Duration header_timeout{10'000};  ///< for the whole head of a request, and for TLS's handshake
  Duration body_timeout{30'000};    ///< for a body, and a second more for each 64 KiB of it
  Duration idle_timeout{75'000};    ///< between requests of a connection
  Duration write_deadline{30'000};  ///< for the client to take 64 KiB
  Duration ping_interval{15'000};   ///< ": ping" on an event stream that has been silent so long

  size_t max_connections = 8192;
  size_t max_header_bytes = size_t{32} << 10;
  size_t max_body_memory = size_t{512} << 20;   ///< of all requests together; more is a 503
  size_t stream_queue_bytes = size_t{1} << 20;  ///< written but not yet sent, of one stream

  /// Names in Host that are answered besides loopback's, IP addresses and `host`; a web page whose
  /// name was rebound to this address is not. "*" allows all.
  std::vector<std::string> allowed_hosts;
  /// Origins ("https://chat.example.org") of web pages that may call, besides those of loopback
  /// names and the server's own; requests from others are refused. "*" allows all.
  std::vector<std::string> cors_origins;

  /// PEM files; TLS when set. Read again when they change.
  std::filesystem::path certificate, private_key;

  /// May refuse a request that has a route which is not open, or note its client. Called on an io
  /// thread with the head, before the body is read: must not wait.
  std::function<std::optional<Response>(Request&)> authorise;
  /// What the server itself answers with: 400, 404, 405, 413, 500, … Plain JSON when not set.
  std::function<Response(int status, std::string_view message)> error_response;
  /// Each answered request; called on an io thread.
  std::function<void(const AccessRecord&)> on_access;
  /// What an administrator should know: a handler that threw, a certificate that cannot be read.
  std::function<void(std::string_view message)> on_problem;
};

class Server {
 public:
  /// Binds nothing yet. Throws Error for options that cannot be.
  Server(ServerOptions options, Router router);
  ~Server();  ///< stops
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens and answers. Throws Error when the address is taken or the certificate unreadable.
  void start();
  int port() const;

  /// From now on requests get a 503 with Retry-After, but for those of open routes; running ones
  /// go on, new connections are still taken, so that clients are told rather than cut off.
  void refuse_requests();
  /// refuse_requests, and new connections are not taken any more.
  void stop_accepting();
  /// refuse_requests, and waits until no answer is under way, at most until `deadline`. True: none
  /// is.
  bool drain(std::chrono::steady_clock::time_point deadline);
  /// Ends what is still under way: streams break off, other requests get a 503; on_close of both is
  /// called.
  void end_answers();
  /// Closes everything and waits for the threads; handlers must come back.
  void stop();

  size_t open_connections() const;
  size_t requests_in_flight() const;  ///< from their head to their answer's last byte
  size_t open_streams() const;

  const Router& router() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::http
