// A plain HTTP/1.1 client over one blocking socket, for tests: sends whatever it is told to, reads
// whole answers or the events of a stream as they come, and may leave at any time.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/error.h"

namespace millrace {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpAnswer {
  int status = 0;
  HttpHeaders headers;
  std::string body;

  /// The value of a header, whatever its case; none when it is missing.
  std::optional<std::string> header(std::string_view name) const {
    auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
    for (const auto& [key, value] : headers) {
      if (std::equal(key.begin(), key.end(), name.begin(), name.end(), same)) return value;
    }
    return std::nullopt;
  }
};

/// One connection to a server of this machine. Throws Error when it breaks, or says nothing for
/// `timeout` seconds.
class HttpClient {
 public:
  explicit HttpClient(int port, int timeout = 60) : port_(port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    timeval limit{timeout, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      close();
      fail("port {}: nobody listens", port);
    }
  }
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Leaves, in the midst of whatever there is.
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  /// Bytes as they are. False: the server has closed the connection.
  bool send_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  /// A whole request. `headers` come beside Host and Content-Length, or in place of them.
  bool send(std::string_view method, std::string_view path, const HttpHeaders& headers = {},
            std::string_view body = {}) {
    head_only_ = method == "HEAD";
    HttpAnswer given{0, headers, {}};
    std::string text = fmt::format("{} {} HTTP/1.1\r\n", method, path);
    if (!given.header("host")) text += fmt::format("Host: 127.0.0.1:{}\r\n", port_);
    if (!given.header("content-length") && (!body.empty() || method == "POST")) {
      text += fmt::format("Content-Length: {}\r\n", body.size());
    }
    for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
    // Refused by its head, a request may be answered before all of its body is sent.
    return send_bytes(text + "\r\n") && send_bytes(body);
  }

  /// The answer's head; its body is left to `next_event` or `rest`.
  HttpAnswer head() {
    HttpAnswer answer;
    while (received_.find("\r\n\r\n") == std::string::npos) {
      require(receive(), "the server closed the connection without an answer");
    }
    const size_t end = received_.find("\r\n\r\n");
    std::string_view text = std::string_view(received_).substr(0, end);
    answer.status = std::atoi(std::string(text.substr(std::min<size_t>(9, text.size()))).c_str());
    for (size_t line = text.find("\r\n"); line != std::string_view::npos;) {
      text.remove_prefix(line + 2);
      line = text.find("\r\n");
      const std::string_view field = text.substr(0, line);
      const size_t colon = field.find(": ");
      if (colon == std::string_view::npos) continue;
      answer.headers.emplace_back(field.substr(0, colon), field.substr(colon + 2));
    }
    received_.erase(0, end + 4);
    chunked_ = answer.header("transfer-encoding") == "chunked";
    const auto length = answer.header("content-length");
    left_ = length ? std::strtoull(length->c_str(), nullptr, 10) : kUntilClose;
    ended_ =
        head_only_ || answer.status == 204 || answer.status == 304 || (!chunked_ && left_ == 0);
    if (answer.status == 100) return head();
    return answer;
  }

  /// The next part of a stream, up to the empty line after it (or, with `"\n"`, the line's end),
  /// without these. None: the stream has ended.
  std::optional<std::string> next_event(std::string_view end = "\n\n") {
    size_t found;
    while ((found = body_.find(end)) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    std::string event = body_.substr(0, found);
    body_.erase(0, found + end.size());
    return event;
  }

  /// What is left of the body.
  std::string rest() {
    while (more()) {
    }
    return std::exchange(body_, {});
  }

  /// Whether the body came whole: false while it comes, and when the connection broke off.
  bool complete() const { return ended_; }

  HttpAnswer answer() {
    HttpAnswer result = head();
    result.body = rest();
    return result;
  }

  /// Sends a request and reads its answer.
  HttpAnswer ask(std::string_view method, std::string_view path, const HttpHeaders& headers = {},
                 std::string_view body = {}) {
    send(method, path, headers, body);
    return answer();
  }

  HttpAnswer post(std::string_view path, std::string_view body, HttpHeaders headers = {}) {
    headers.emplace_back("Content-Type", "application/json");
    return ask("POST", path, headers, body);
  }

 private:
  static constexpr size_t kUntilClose = static_cast<size_t>(-1);

  bool receive() {
    char buffer[16384];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    require(size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK), "the server says nothing");
    if (size <= 0) return false;
    received_.append(buffer, static_cast<size_t>(size));
    return true;
  }

  /// Reads some more of the body. False: there is no more.
  bool more() {
    if (ended_) return false;
    if (chunked_ && left_ == kUntilClose) {
      size_t line;
      while ((line = received_.find("\r\n")) == std::string::npos) {
        if (!receive()) return false;
      }
      left_ = std::strtoull(received_.c_str(), nullptr, 16);
      received_.erase(0, line + 2);
      last_chunk_ = left_ == 0;
      left_ += 2;  // its own line's end
    }
    if (received_.empty() && !receive()) {
      ended_ = !chunked_ && left_ == kUntilClose;
      return false;
    }
    const size_t size = std::min(left_, received_.size());
    body_.append(received_, 0, size);
    received_.erase(0, size);
    if (left_ == kUntilClose) return true;
    left_ -= size;
    if (left_ > 0) return true;
    if (chunked_) {
      body_.resize(body_.size() - 2);
      left_ = kUntilClose;
    }
    ended_ = !chunked_ || last_chunk_;
    return true;
  }

  int port_;
  int socket_ = -1;
  std::string received_;  // not looked at yet
  std::string body_;      // decoded, not handed out yet
  bool head_only_ = false;
  bool chunked_ = false;
  bool last_chunk_ = false;
  bool ended_ = true;
  size_t left_ = 0;  // of the body or the chunk
};

}  // namespace millrace
