// Files of API tests: requests and what the server must answer, as text. tests/api/README.md says
// how they are written.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/http_client.h"

namespace millrace {

/// What one answer, or one part of a stream, must be.
struct ExpectedPart {
  enum class Kind { json, text, event, data, line, comment };
  enum class Times { once, any, some };

  Kind kind = Kind::json;
  Times times = Times::once;
  std::string name;  ///< of an event
  std::string text;  ///< JSON with matchers, or the text itself; of an event: empty for any data
  int line = 0;
};

struct ApiRequest {
  std::string title;
  std::string method, path;
  HttpHeaders headers;
  std::string body;
  int line = 0;

  int status = 0;  ///< expected
  HttpHeaders expected_headers;
  std::vector<ExpectedPart> parts;

  /// `for NAME in a | b`: the request is made with each value, or each pair of values.
  std::vector<std::pair<std::string, std::vector<std::string>>> loops;

  bool is_stream() const {
    return !parts.empty() && parts.front().kind >= ExpectedPart::Kind::event;
  }
};

struct CaseFile {
  std::filesystem::path path;
  std::string settings;  ///< of the service: "max-queue=4 context=100"
  std::vector<ApiRequest> requests;
};

/// Throws Error with file and line.
CaseFile read_case_file(const std::filesystem::path& path);

}  // namespace millrace
