// The answering side of one request, as a handler holds it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/serve/http/message.h"

namespace millrace::http {

class Answer;

/// Answers one request, either whole (`respond`) or as a stream (`begin_stream`, `write`…,
/// `finish`). All may be called from any thread and none waits for the network; copies are cheap
/// and speak for the same request. It may outlive the handler, the connection and the server.
/// When the last copy goes without an answer the client gets a 500, or a stream that breaks off.
class Exchange {
 public:
  explicit Exchange(std::shared_ptr<Answer> answer);

  /// The whole answer. Only the first of respond and begin_stream counts.
  void respond(Response response) const;

  /// Begins a stream; the response's body, if any, is its first chunk.
  void begin_stream(Response head) const;

  /// Sends bytes of the stream, whole events in an event stream. False: nobody reads them any
  /// more (the client has gone, or reads so slowly that the queue is full); stop writing.
  bool write(std::string_view chunk) const;

  /// Ends the stream as it should end.
  void finish() const;

  /// Whether the client has gone, or the server has ended the answer: it is not read any more.
  bool closed() const;

  /// Called once when the client goes, or the server ends the answer, before it is complete: from
  /// an io thread, so it must not wait; or at once, when that has already happened. One callback.
  void on_close(std::function<void()> callback) const;

 private:
  struct Handle;
  std::shared_ptr<Handle> handle_;
};

/// Headers of an event stream that proxies pass on event by event.
Response event_stream();

}  // namespace millrace::http
