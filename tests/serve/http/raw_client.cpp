#include "tests/serve/http/raw_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace millrace::http {

RawClient::RawClient(int port, std::chrono::milliseconds patience)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval wait{patience.count() / 1000, (patience.count() % 1000) * 1000};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  const int yes = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  require(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
          "cannot connect to port {}", port);
}

RawClient::~RawClient() {
  close();
}

RawClient::RawClient(RawClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), buffer_(std::move(other.buffer_)) {}

void RawClient::close(bool reset) {
  if (socket_ < 0) return;
  const linger now{1, 0};
  if (reset) setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(socket_, -1));
}

bool RawClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool RawClient::read_more() {
  char bytes[65536];
  const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
  if (got > 0) buffer_.append(bytes, static_cast<size_t>(got));
  return got > 0;
}

bool RawClient::closed() {
  char bytes[65536];
  for (;;) {
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return true;
    if (got < 0) return false;
  }
}

std::string RawClient::read_past(std::string_view text) {
  size_t at;
  while ((at = buffer_.find(text)) == std::string::npos) {
    if (!read_more()) return std::exchange(buffer_, {});
  }
  std::string all = buffer_.substr(0, at + text.size());
  buffer_.erase(0, all.size());
  return all;
}

Reply RawClient::reply(bool head_only) {
  Reply reply;
  const std::string head = read_past("\r\n\r\n");
  if (!head.ends_with("\r\n\r\n") || !head.starts_with("HTTP/1.1 ")) return {};
  for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
    const size_t colon = head.find(": ", at), end = head.find("\r\n", at);
    reply.headers.add(head.substr(at, colon - at), head.substr(colon + 2, end - colon - 2));
    at = end + 2;
  }
  const int status = std::stoi(head.substr(9, 3));
  if (head_only || status == 204 || status == 304 || status == 100) {
  } else if (reply.headers.get("Transfer-Encoding") == "chunked") {
    for (;;) {
      const std::string size_line = read_past("\r\n");
      if (!size_line.ends_with("\r\n")) return {};
      const size_t size = std::stoul(size_line, nullptr, 16);
      while (buffer_.size() < size + 2) {
        if (!read_more()) return {};
      }
      reply.body += buffer_.substr(0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) break;
    }
  } else if (reply.headers.has("Content-Length")) {
    const size_t size = std::stoul(std::string(reply.headers.get("Content-Length")));
    while (buffer_.size() < size) {
      if (!read_more()) return {};
    }
    reply.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  } else {
    while (read_more()) {
    }
    reply.body = std::exchange(buffer_, {});
  }
  reply.status = status;
  return reply;
}

std::string get(std::string_view path, std::string_view headers) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, headers);
}

std::string post(std::string_view path, std::string_view body, std::string_view headers) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}", path,
                     body.size(), headers, body);
}

}  // namespace millrace::http
