// The target of a request line: percent-decoding, and what no path may hold.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace millrace::http {

struct Target {
  std::string path;                          ///< decoded, normalised; begins with a slash
  std::map<std::string, std::string> query;  ///< decoded
  std::string authority;                     ///< of "http://authority/path", else empty
};

/// Reads "/v1/models/a%2Fb?limit=3". %2F is a slash like any other; slashes that follow each other
/// are one, and one at the end is none. Throws Refusal (400) for bad escapes, control characters,
/// backslashes and the segments "." and "..", however they are written. "*" stays "*".
Target parse_target(std::string_view target);

}  // namespace millrace::http
