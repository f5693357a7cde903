// Requests from bytes: strict about everything that makes two readers disagree on where one ends.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "millrace/serve/http/message.h"

namespace millrace::http {

/// Reads one request from bytes that arrive in any pieces. What it refuses, by throwing Refusal: a
/// line that does not end in CR LF, a folded header, a blank before a colon, control characters, a
/// head that is too large, two lengths, a length beside chunks, codings other than chunked, a bad
/// chunk, two hosts or none. After a refusal nothing that follows on the connection can be trusted.
class RequestParser {
 public:
  explicit RequestParser(size_t max_header_bytes);
  ~RequestParser();

  /// Takes bytes from the front and returns how many. It stops once after the head, so that the
  /// body's limit can be set, and at the request's end. Bytes that it leaves behind before the end
  /// belong to a line that is not complete: give them again with more.
  size_t feed(std::string_view bytes);

  /// A body that is longer is refused with 413, at once when its length is announced.
  void limit_body(size_t bytes);

  bool begun() const;     ///< has a byte of the request come?
  bool has_head() const;  ///< request(), but for its body, and the following are there
  bool complete() const;
  /// Its path is decoded; the remote address, route and path parameters are not the parser's.
  Request& request();
  bool keep_alive() const;
  bool chunks_allowed() const;  ///< HTTP/1.1: the answer may come in chunks
  bool expects_continue() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::http
