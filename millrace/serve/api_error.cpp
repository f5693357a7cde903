#include "millrace/serve/api_error.h"

namespace millrace::serve {

ApiError invalid_request(std::string param, const std::string& message, std::string code) {
  const std::string whole = param.empty() ? message : param + ": " + message;
  return {400, "invalid_request_error", std::move(code), whole, std::move(param)};
}

ApiError model_not_found(std::string_view model, std::string_view known) {
  return {404, "invalid_request_error", "model_not_found",
          fmt::format("there is no model {}; there is {}", quote(model), known), "model"};
}

ApiError overloaded(int retry_after) {
  ApiError error(429, "rate_limit_error", "rate_limit_exceeded",
                 "too many requests are waiting; try again later");
  error.retry_after = retry_after;
  return error;
}

ApiError unavailable(const std::string& message, std::optional<int> retry_after) {
  ApiError error(503, "server_error", "service_unavailable", message);
  error.retry_after = retry_after;
  return error;
}

ApiError internal_error() {
  return {500, "server_error", "internal_error", "something failed inside the server"};
}

Json openai_error(const ApiError& error) {
  auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"error",
           {{"message", error.what()},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

namespace {

std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

Json anthropic_error(const ApiError& error, std::string_view request_id) {
  return {{"type", "error"},
          {"error", {{"type", anthropic_type(error.status)}, {"message", error.what()}}},
          {"request_id", request_id}};
}

Json ollama_error(const ApiError& error) {
  return {{"error", error.what()}};
}

http::Response error_response(const ApiError& error, const Json& json) {
  http::Response response{error.status, {{"Content-Type", "application/json"}}, to_json_text(json)};
  if (error.retry_after) response.headers.set("Retry-After", fmt::format("{}", *error.retry_after));
  return response;
}

}  // namespace millrace::serve
