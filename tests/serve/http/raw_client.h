// A client that sends what it is told, right or wrong, over a plain socket.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "millrace/serve/http/message.h"

namespace millrace::http {

/// A response as it came.
struct Reply {
  int status = 0;  ///< 0: the connection ended before a whole response
  Headers headers;
  std::string body;  ///< of chunks, put together
};

class RawClient {
 public:
  /// Connects to 127.0.0.1; waits for every read at most `patience`.
  explicit RawClient(int port, std::chrono::milliseconds patience = std::chrono::seconds(10));
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;

  /// False: the server has closed.
  bool send(std::string_view bytes) const;
  /// The next response; `head_only` for an answer to HEAD.
  Reply reply(bool head_only = false);
  Reply ask(std::string_view request) {
    send(request);
    return reply(request.starts_with("HEAD "));
  }
  /// Reads until `text` has come and returns all up to its end; what came, when the end came first.
  std::string read_past(std::string_view text);
  /// Whether the server closes the connection within the patience; what comes before is dropped.
  bool closed();
  /// Closes at once; `reset` by RST.
  void close(bool reset = false);
  int descriptor() const { return socket_; }

 private:
  bool read_more();

  int socket_ = -1;
  std::string buffer_;
};

/// "GET path" with a Host, and these header lines ("Name: value\r\n").
std::string get(std::string_view path, std::string_view headers = "");
std::string post(std::string_view path, std::string_view body, std::string_view headers = "");

}  // namespace millrace::http
