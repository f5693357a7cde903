// One call of the API under way: what came, whom to answer, and in which words errors are told.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/serve/answer_request.h"
#include "millrace/serve/fields.h"
#include "millrace/serve/http/router.h"
#include "millrace/serve/model_registry.h"
#include "millrace/serve/service.h"

namespace millrace::serve {

/// An error in the words of one API.
using ErrorShape = Json (*)(const ApiError& error, std::string_view request_id);

class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(Service& of, ErrorShape shape, http::Request asked, http::Exchange answered)
      : service(of), request(std::move(asked)), exchange(std::move(answered)), shape_(shape) {}

  Service& service;
  const http::Request request;
  const http::Exchange exchange;
  Json body;  ///< the request's; null for a GET

  /// Runs a part of the call. What it throws is answered: ApiError as it says, Error as a 400,
  /// anything else as a 500 that tells nothing.
  void run(const std::function<void()>& part);

  /// Goes on with the model of that name, once it is loaded.
  void with_model(const std::string& name, std::function<void(ModelHandle)> part);

  void respond(const Json& json, int status = 200);
  void respond(const ApiError& error);

  /// Headers that say which fields were ignored.
  static http::Headers ignored_header(const Fields& fields);
  /// Whose request it is, for fair shares, and how long it may take.
  void fill(AnswerRequest& request) const;
  /// Answers with what the model writes.
  void answer(AnswerRequest request, std::unique_ptr<AnswerWriter> writer,
              http::Headers headers = {});

 private:
  ErrorShape shape_;
};

using CallPtr = std::shared_ptr<Call>;

/// A route whose body is JSON: parsed before `part` runs.
http::Route json_route(Service& service, ErrorShape shape, std::string method, std::string pattern,
                       std::function<void(const CallPtr&)> part);

/// OpenAI's shape, without the request's id.
Json openai_shape(const ApiError& error, std::string_view request_id);
Json ollama_shape(const ApiError& error, std::string_view request_id);

}  // namespace millrace::serve
