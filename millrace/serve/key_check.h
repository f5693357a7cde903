// Whether a request has one of the keys. Its place is the ledger's, once there is one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "millrace/serve/http/message.h"

namespace millrace::serve {

class KeyCheck {
 public:
  explicit KeyCheck(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  /// A 401 without a right key, in `Authorization: Bearer KEY` or `x-api-key: KEY`; else notes in
  /// the request whose it is. Compares in a time that does not depend on where keys differ. With
  /// several keys each is a client; with one, or none, each address is.
  std::optional<http::Response> check(http::Request& request) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace millrace::serve
