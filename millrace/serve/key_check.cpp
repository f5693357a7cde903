#include "millrace/serve/key_check.h"

#include "millrace/serve/call.h"

namespace millrace::serve {
namespace {

/// Takes as long for every `given` of a length.
bool same_key(std::string_view key, std::string_view given) {
  unsigned difference = key.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^
                  static_cast<unsigned char>(key[key.empty() ? 0 : i % key.size()]);
  }
  return difference == 0;
}

std::string_view given_key(const http::Request& request) {
  std::string_view authorization = request.headers.get("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.size() > kBearer.size() &&
      http::same_name(authorization.substr(0, kBearer.size()), kBearer)) {
    return authorization.substr(kBearer.size());
  }
  return request.headers.get("x-api-key");
}

}  // namespace

std::optional<http::Response> KeyCheck::check(http::Request& request) const {
  if (keys_.empty()) return std::nullopt;
  const std::string_view given = given_key(request);
  size_t matching = keys_.size();
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (same_key(keys_[i], given) && !given.empty()) matching = i;
  }
  if (matching < keys_.size()) {
    if (keys_.size() > 1) request.client = fmt::format("key {}", matching);
    return std::nullopt;
  }
  const ApiError error(
      401, "authentication_error", "invalid_api_key",
      given.empty() ? "no key: send Authorization: Bearer KEY" : "the key is not a right one");
  Json json = openai_error(error);
  if (request.path.starts_with("/v1/messages")) json = anthropic_error(error, request.id);
  if (request.path.starts_with("/api/")) json = ollama_error(error);
  http::Response response = error_response(error, json);
  response.headers.set("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace millrace::serve
