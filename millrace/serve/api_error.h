// What a client is told when its request is not carried out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/base/json.h"
#include "millrace/serve/http/message.h"

namespace millrace::serve {

/// An error in the terms of OpenAI's API; each API writes it in its own shape.
struct ApiError : Error {
  ApiError(int http_status, std::string type_name, std::string code_name,
           const std::string& message, std::string field = {})
      : Error(message),
        status(http_status),
        type(std::move(type_name)),
        code(std::move(code_name)),
        param(std::move(field)) {}

  int status;         ///< of HTTP
  std::string type;   ///< "invalid_request_error", "rate_limit_error", …
  std::string code;   ///< "model_not_found"; empty: none
  std::string param;  ///< the field that is wrong, as "messages[2].content"; empty: none
  std::optional<int> retry_after;  ///< seconds
};

/// 400: the field `param` is wrong.
ApiError invalid_request(std::string param, const std::string& message,
                         std::string code = "invalid_value");
/// 404.
ApiError model_not_found(std::string_view model, std::string_view known);
/// 429: too many requests wait.
ApiError overloaded(int retry_after);
/// 503: the server is going down, or not yet up.
ApiError unavailable(const std::string& message, std::optional<int> retry_after = std::nullopt);
/// 500, which says nothing of the inside.
ApiError internal_error();

/// The error in the words of each API.
Json openai_error(const ApiError& error);
Json anthropic_error(const ApiError& error, std::string_view request_id);
Json ollama_error(const ApiError& error);

/// The response that carries the error in such words.
http::Response error_response(const ApiError& error, const Json& json);

}  // namespace millrace::serve
