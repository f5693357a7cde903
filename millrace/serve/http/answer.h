// What a handler says and a connection has not sent yet; the one place where their threads meet.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "millrace/serve/http/message.h"

namespace millrace::http {

/// Shared by an Exchange and its connection; every function may be called from any thread.
class Answer {
 public:
  /// `wake` tells the connection that there is something to take; called with a lock held, so it
  /// may only post. At most `queue_bytes` of a stream wait here.
  Answer(size_t queue_bytes, std::function<void()> wake)
      : queue_bytes_(queue_bytes), wake_(std::move(wake)) {}

  // The handler's side; Exchange says what each does.
  void respond(Response response);
  void begin_stream(Response head);
  bool write(std::string_view chunk);
  void finish();
  bool closed() const;
  void on_close(std::function<void()> callback);
  /// Nobody will say more: the answer is broken unless it is complete.
  void abandon();

  // The connection's side.
  struct Output {
    std::optional<Response> head;  ///< the first time that there is one
    bool stream = false;
    std::string bytes;      ///< of the stream, since the last time
    bool complete = false;  ///< nothing follows
    bool broken = false;    ///< it cannot go on: break it off, or a 500 if nothing was sent
  };
  Output take();
  /// Nobody reads any more.
  void close();
  /// Ends what is under way: a stream breaks off, what has no answer yet gets `refusal`.
  void end(Response refusal);

 private:
  void signal();  // with the lock held
  bool begin(Response response, bool stream);

  const size_t queue_bytes_;
  mutable std::mutex mutex_;
  std::function<void()> wake_, on_close_;
  std::optional<Response> head_;
  std::string bytes_;
  bool signalled_ = false;  // since the last take
  bool begun_ = false, stream_ = false, complete_ = false, broken_ = false, closed_ = false;
};

}  // namespace millrace::http
