// Any bytes as what a client sends: a Refusal or requests, the same ones however the bytes are cut,
// with paths that stay within the tree and values that hold no line's end.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/serve/http/admission.h"
#include "millrace/serve/http/request_parser.h"

namespace {

using namespace millrace::http;

constexpr size_t kMaxHeaderBytes = 2048, kBodyLimit = 4096;

void check(bool condition) {
  if (!condition) std::abort();
}

bool has_control(std::string_view text) {
  for (char c : text) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return true;
  }
  return false;
}

void check_request(const Request& request) {
  check(!request.method.empty() && !has_control(request.method) && !has_control(request.path));
  check(request.path == "*" || request.path.front() == '/');
  const std::string path = request.path + "/";
  check(path.find("/../") == std::string::npos && path.find("/./") == std::string::npos);
  check(request.path == "/" || path.find("//") == std::string::npos);
  for (const auto& [name, value] : request.headers) check(!has_control(name + value));
  check(request.body.size() <= kBodyLimit);
}

/// What the parser made of the bytes, as text, when they come in pieces of this size.
std::string parse_all(std::string_view bytes, size_t piece) {
  std::string seen;
  size_t given = 0;
  try {
    for (;;) {
      RequestParser parser(kMaxHeaderBytes);
      for (bool limited = false; !parser.complete();) {
        const size_t taken = parser.feed(bytes.substr(0, given));
        check(taken <= given);
        bytes.remove_prefix(taken);
        given -= taken;
        if (parser.has_head() && !limited) {
          limited = true;
          parser.limit_body(kBodyLimit);
        } else if (!parser.complete()) {
          if (given == bytes.size()) return seen;
          given = std::min(given + piece, bytes.size());
        }
      }
      Request& request = parser.request();
      check_request(request);
      ServerOptions options;
      Router::Match match;
      Request copy = request;
      Response response =
          answer_by_head(options, Router(), false, copy, match).value_or(Response());
      for (const auto& [name, value] : common_headers(options, request)) {
        response.headers.add(name, value);
      }
      check(response_head(response, Framing::kLength, true).find("\r\n\r\n") != std::string::npos);
      seen += request.method + " " + request.path + "\n" + request.body + "\n";
    }
  } catch (const Refusal& refusal) {
    check(refusal.status() >= 400 && refusal.status() < 600);
    return seen + std::to_string(refusal.status());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  check(parse_all(bytes, bytes.size() + 1) == parse_all(bytes, data[0] % 16 + 1));
  return 0;
}
