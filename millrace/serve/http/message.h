// A request and a response of HTTP as plain data.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/error.h"

namespace millrace::http {

/// Header fields in their order; names are compared without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  /// The value of the first field of that name, empty when there is none.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const { return count(name) > 0; }
  size_t count(std::string_view name) const;
  /// One more field, also where there is one of that name.
  void add(std::string name, std::string value);
  /// The only field of that name.
  void set(std::string_view name, std::string value);

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  size_t size() const { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

/// One request, checked: names and values hold no control characters, lengths are unambiguous.
struct Request {
  std::string method;                        ///< as sent: "GET", "POST"
  std::string path;                          ///< decoded; no "..", no "//", no slash at the end
  std::map<std::string, std::string> query;  ///< decoded; the last of equal names
  Headers headers;
  std::string body;
  std::string remote_address;  ///< of the peer, numeric, without the port
  std::string id;              ///< x-request-id: the client's where sane, else ours
  std::string route;           ///< the pattern that matched, for metrics
  std::map<std::string, std::string> path_parameters;  ///< what stood for {name} in it
  std::string client;                                  ///< for the authorise hook to fill in
  bool secure = false;                                 ///< came over TLS
};

struct Response {
  int status = 200;
  Headers headers;  ///< without Content-Length, Connection, Date: the server adds them
  std::string body;
};

/// Thrown for a request that is not served: the status that says why, and a message for the client.
class Refusal : public Error {
 public:
  Refusal(int status, const std::string& message) : Error(message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

/// "Not Found" for 404; "Status" where the number has no name here.
std::string_view reason_phrase(int status);

/// Do two header names agree? ASCII letters' case does not count.
bool same_name(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);

/// What the bytes of a body are, for a response's framing.
enum class Framing { kLength, kChunks, kUntilClose };

/// The status line and the header fields of a response, up to and with the empty line. Control
/// characters in values become spaces, and fields whose names are no names are left out, so that
/// nothing that a handler passes on can end a line.
std::string response_head(const Response& response, Framing framing, bool keep_alive);

}  // namespace millrace::http
