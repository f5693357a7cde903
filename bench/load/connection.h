// One request at a time over one socket that never waits: the client's half of HTTP/1.1, as much
// of it as measuring a server needs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace millrace::load {

struct Target {
  std::string host;
  int port = 80;
};

class Connection {
 public:
  enum class State : uint8_t {
    idle,     ///< may take a request
    busy,     ///< a request is under way
    done,     ///< the answer came whole
    refused,  ///< the connection broke off
  };

  /// `on_line` gets each line of a body as it comes, without its end.
  Connection(const Target& target, std::function<void(std::string_view line)> on_line)
      : target_(target), on_line_(std::move(on_line)) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Begins a request (the whole of it, head and body); connects where there is no connection yet.
  void start(std::string request);
  /// Goes on as far as it can without waiting.
  State advance();
  /// After `refused`: closes, and asks again over a new connection if the old one broke off just as
  /// it was used again, which a server may do (RFC 9112, 9.3.1). False: it was not so.
  bool retry();
  /// Leaves in the midst of it.
  void close();
  /// After `done`: ready for the next one, on the same connection if the server keeps it.
  void reset();

  State state() const { return state_; }
  int socket() const { return socket_; }
  int status() const { return status_; }
  bool wants_to_write() const { return sent_ < request_.size(); }

 private:
  bool connect();
  void read_head();
  void read_body();
  void take(std::string_view bytes);

  const Target target_;
  const std::function<void(std::string_view)> on_line_;
  int socket_ = -1;
  State state_ = State::idle;
  std::string request_;
  size_t sent_ = 0;
  std::string received_;  // not looked at yet
  std::string line_;      // of the body, not whole yet
  bool in_body_ = false, chunked_ = false, keep_ = true, used_before_ = false;
  int status_ = 0;
  size_t left_ = 0;  // of the body or the chunk
};

}  // namespace millrace::load
