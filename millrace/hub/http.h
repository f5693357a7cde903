// GET over HTTP: redirects that carry no secret to another host, ranges, time limits. libcurl
// brings TLS and honours the environment's proxies (http_proxy, https_proxy, no_proxy).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/error.h"

namespace millrace::hub {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What may go well the next time: a broken connection, a server that is busy (429, 5xx).
class PassingError : public Error {
 public:
  explicit PassingError(const std::string& message, std::chrono::seconds wait = {})
      : Error(message), retry_after(wait) {}
  std::chrono::seconds retry_after;  ///< what the server asked for; 0: nothing
};

/// Somebody asked to stop.
class Stopped : public Error {
 public:
  Stopped() : Error("stopped; the same command goes on from here") {}
};

struct HttpOptions {
  using Duration = std::chrono::milliseconds;

  Duration connect_timeout{30'000};
  Duration silence_timeout{60'000};  ///< a connection that says nothing for so long is broken
  int tries = 6;                     ///< without any progress
  Duration first_wait{1'000};        ///< before the second try; doubles with each
  Duration longest_wait{300'000};    ///< a server that asks for more is not waited for
  std::function<bool()> stop;        ///< asked now and then, from any thread; may be empty
};

struct Request {
  std::string url;
  Headers secrets;                                     ///< for the URL's own origin alone
  std::optional<std::pair<uint64_t, uint64_t>> range;  ///< first byte and the one after the last
};

/// The head of an answer.
struct Reply {
  int status = 0;
  std::string url;        ///< whose answer it is, after all redirects
  Headers headers;        ///< names in small letters
  Headers first_headers;  ///< of the first answer, which may be a redirect
  std::optional<std::string> header(std::string_view name) const;
};

/// A connection that is kept open from request to request. Not for two threads at once.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends a request once and follows at most 10 redirects. `on_head` sees the answer, whatever its
  /// status, before `on_body` sees its pieces; both may throw, which ends the request. Throws
  /// PassingError for a broken connection, Stopped, and Error for redirects that go round, lead
  /// from https to http or to another protocol, and for certificates that are not valid.
  Reply get(const Request& request, const std::function<void(const Reply&)>& on_head,
            const std::function<void(std::span<const std::byte>)>& on_body);

  const HttpOptions& options() const { return options_; }

 private:
  class Transfer;
  HttpOptions options_;
  std::shared_ptr<void> handle_;
};

/// Throws PassingError for a status that may pass (408, 429, 5xx), with its Retry-After.
void check_busy(const Reply& reply);

/// Waits; returns early, throwing Stopped, when asked to.
void wait_for(std::chrono::milliseconds time, const HttpOptions& options);

/// Calls `attempt` until it returns. After a PassingError it waits and calls again, at most
/// options.tries times in a row in which `progress` stayed the same. Then the last one is thrown,
/// as an Error that says how often it was tried.
void with_retries(const HttpOptions& options, const std::function<uint64_t()>& progress,
                  const std::function<void()>& attempt);

}  // namespace millrace::hub
