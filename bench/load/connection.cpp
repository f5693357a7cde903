#include "bench/load/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>

#include "millrace/base/error.h"

namespace millrace::load {
namespace {

constexpr size_t kUntilClose = static_cast<size_t>(-1);
constexpr size_t kUnknown = static_cast<size_t>(-2);  // a chunk's size is still to come

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

bool Connection::connect() {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(target_.host.c_str(), std::to_string(target_.port).c_str(), &hints, &found)) {
    fail("{}: there is no such host", target_.host);
  }
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  require(socket_ >= 0, "no more sockets: raise the limit on open files (ulimit -n)");
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int result = ::connect(socket_, found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return result == 0 || errno == EINPROGRESS;
}

void Connection::start(std::string request) {
  request_ = std::move(request);
  sent_ = 0;
  in_body_ = false;
  status_ = 0;
  line_.clear();
  received_.clear();
  state_ = State::busy;
  used_before_ = socket_ >= 0;
  if (socket_ < 0 && !connect()) state_ = State::refused;
}

bool Connection::retry() {
  const bool stale = used_before_ && status_ == 0;
  close();
  if (stale) start(std::move(request_));
  return stale;
}

void Connection::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
  state_ = State::idle;
}

void Connection::reset() {
  if (!keep_) close();
  state_ = State::idle;
}

Connection::State Connection::advance() {
  if (state_ != State::busy) return state_;
  while (wants_to_write()) {
    const ssize_t size =
        ::send(socket_, request_.data() + sent_, request_.size() - sent_, MSG_NOSIGNAL);
    if (size < 0 && (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN)) break;
    if (size <= 0) return state_ = State::refused;
    sent_ += static_cast<size_t>(size);
  }
  while (state_ == State::busy) {
    char buffer[65536];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    if (size < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
    if (size <= 0) {
      const bool whole = size == 0 && in_body_ && !chunked_ && left_ == kUntilClose;
      return state_ = whole ? State::done : State::refused;
    }
    received_.append(buffer, static_cast<size_t>(size));
    if (!in_body_) read_head();
    if (in_body_) read_body();
  }
  return state_;
}

void Connection::read_head() {
  // What ended the last answer's chunks may come late.
  while (received_.starts_with("\r\n")) received_.erase(0, 2);
  const size_t end = received_.find("\r\n\r\n");
  if (end == std::string::npos) return;
  const std::string head = lower(std::string_view(received_).substr(0, end + 2));
  received_.erase(0, end + 4);
  status_ = head.size() > 12 ? std::atoi(head.c_str() + 9) : 0;
  chunked_ = head.find("transfer-encoding: chunked") != std::string::npos;
  keep_ = head.find("connection: close") == std::string::npos;
  const size_t length = head.find("content-length:");
  left_ = length != std::string::npos ? std::strtoull(head.c_str() + length + 15, nullptr, 10)
                                      : kUntilClose;
  if (chunked_) left_ = kUnknown;
  if (left_ == kUntilClose) keep_ = false;
  in_body_ = true;
}

void Connection::take(std::string_view bytes) {
  while (true) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    on_line_(line_);
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
}

void Connection::read_body() {
  size_t at = 0;
  while (state_ == State::busy) {
    if (left_ == kUnknown) {
      const size_t end = received_.find("\r\n", at);
      if (end == std::string::npos) break;
      if (end > at) {  // else the end of the chunk before
        left_ = std::strtoull(received_.c_str() + at, nullptr, 16);
        if (left_ == 0) state_ = State::done;
      }
      at = end + 2;
      continue;
    }
    const size_t size = std::min(left_, received_.size() - at);
    take(std::string_view(received_).substr(at, size));
    at += size;
    if (left_ == kUntilClose) break;
    left_ -= size;
    if (left_ > 0) break;
    if (chunked_) {
      left_ = kUnknown;
    } else {
      state_ = State::done;
    }
  }
  received_.erase(0, at);
  if (state_ != State::done) return;
  if (!line_.empty()) on_line_(line_);
  line_.clear();
}

}  // namespace millrace::load
