#include "millrace/serve/call.h"

#include <algorithm>
#include <random>

namespace millrace::serve {
namespace {

uint64_t random_seed() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

}  // namespace

Json openai_shape(const ApiError& error, std::string_view) {
  return openai_error(error);
}
Json ollama_shape(const ApiError& error, std::string_view) {
  return ollama_error(error);
}

void Call::run(const std::function<void()>& part) {
  try {
    part();
  } catch (const ApiError& error) {
    respond(error);
  } catch (const Error& error) {
    respond(invalid_request("", error.what()));
  } catch (const std::exception& error) {
    service.log_problem(fmt::format("{} {}: {}", request.id, request.path, error.what()));
    respond(internal_error());
  }
}

void Call::with_model(const std::string& name, std::function<void(ModelHandle)> part) {
  auto self = shared_from_this();
  service.models.use(
      name,
      [self, part = std::move(part)](ModelHandle model) {
        self->run([&] { part(std::move(model)); });
      },
      [self](const ApiError& error) { self->respond(error); });
}

void Call::respond(const Json& json, int status) {
  exchange.respond({status, {{"Content-Type", "application/json"}}, to_json_text(json)});
}

void Call::respond(const ApiError& error) {
  exchange.respond(error_response(error, shape_(error, request.id)));
}

http::Headers Call::ignored_header(const Fields& fields) {
  constexpr size_t kMost = 16;
  std::string names;
  size_t count = 0;
  for (const std::string& field : fields.unread()) {
    const bool plain =
        field.size() <= 64 && std::all_of(field.begin(), field.end(), [](char c) {
          return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
        });
    if (!plain || ++count > kMost) continue;
    names += names.empty() ? field : ", " + field;
  }
  if (names.empty()) return {};
  return {{"x-millrace-ignored-fields", names}};
}

void Call::fill(AnswerRequest& answer) const {
  answer.sampling.seed =
      service.settings.seed < 0 ? random_seed() : static_cast<uint64_t>(service.settings.seed);
  answer.client = request.client.empty() ? request.remote_address : request.client;
  answer.reuse_prefix = service.settings.prefix_cache != "off";
  if (service.settings.prefix_cache == "per-key") answer.cache_scope = answer.client;
  answer.deadline =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<int64_t>(service.settings.request_timeout * 1000));
}

void Call::answer(AnswerRequest request_made, std::unique_ptr<AnswerWriter> writer,
                  http::Headers headers) {
  OnAnswer log;
  if (service.settings.log_text) {
    log = [self = shared_from_this()](const Answer& answer) {
      self->service.log_text(*self, answer);
    };
  }
  start_answer(service.engine, service.metrics, exchange, std::move(headers),
               std::move(request_made), std::move(writer), std::move(log));
}

http::Route json_route(Service& service, ErrorShape shape, std::string method, std::string pattern,
                       std::function<void(const CallPtr&)> part) {
  http::Route route;
  const bool has_body = method == "POST";
  route.method = std::move(method);
  route.pattern = std::move(pattern);
  route.body_limit = static_cast<size_t>(service.settings.max_body_mb) << 20;
  route.handler = [&service, shape, has_body, part = std::move(part)](http::Request request,
                                                                      http::Exchange exchange) {
    auto call = std::make_shared<Call>(service, shape, std::move(request), std::move(exchange));
    call->run([&] {
      if (has_body) call->body = parse_body(call->request.body);
      part(call);
    });
  };
  return route;
}

}  // namespace millrace::serve
