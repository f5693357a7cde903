#include "millrace/serve/service.h"

#include <unistd.h>

#include <chrono>

#include "millrace/base/error.h"
#include "millrace/serve/call.h"
#include "millrace/serve/key_check.h"
#include "millrace/serve/openapi.h"

namespace millrace::serve {
namespace {

constexpr std::chrono::seconds kLastWords{2};  // for errors to reach their clients

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || host.starts_with("127.");
}

http::Response text_response(std::string text, const char* type = "text/plain; charset=utf-8") {
  return {200, {{"Content-Type", type}}, std::move(text)};
}

void check(const Settings& settings) {
  require(!settings.api_keys.empty() || is_loopback(settings.host),
          "without an api-key only this machine may call: host must be 127.0.0.1 or localhost, "
          "not {}; give --api-key KEY to listen on the network",
          settings.host);
  require(settings.tls_cert.empty() == settings.tls_key.empty(),
          "tls-cert and tls-key belong together: give both or none");
}

}  // namespace

Service::Service(Settings wanted, std::function<void(std::string_view)> log)
    : log_(std::move(log)),
      settings((check(wanted), std::move(wanted))),
      engine(settings.max_queue + settings.max_sequences,
             [this](const std::string& message) { log_problem(message); }),
      models(settings, [this](const std::string& line) { log_problem(line); }) {
  server_ = std::make_unique<http::Server>(server_options(), routes());
}

void Service::start() {
  server_->start();
}

bool Service::drain() {
  draining_ = true;
  const auto timeout =
      std::chrono::milliseconds(static_cast<int64_t>(settings.drain_timeout * 1000));
  if (server_->drain(std::chrono::steady_clock::now() + timeout)) return true;
  engine.cancel_all();  // their clients are told in the words of their API
  if (!server_->drain(std::chrono::steady_clock::now() + kLastWords)) server_->end_answers();
  return false;
}

void Service::log_problem(std::string_view message) {
  log_(to_json_text({{"event", "note"}, {"message", message}}));
}

void Service::log_text(const Call& call, const Answer& answer) {
  Json choices = Json::array();
  for (const Choice& choice : answer.choices) {
    choices.push_back({{"reasoning", choice.reasoning}, {"content", choice.content}});
  }
  log_(to_json_text({{"event", "text"},
                     {"request_id", call.request.id},
                     {"request", call.body},
                     {"choices", std::move(choices)}}));
}

http::ServerOptions Service::server_options() {
  http::ServerOptions options;
  options.host = settings.host;
  options.port = static_cast<int>(settings.port);
  options.max_connections = static_cast<size_t>(settings.max_connections);
  options.allowed_hosts = settings.allowed_hosts;
  options.cors_origins = settings.cors_origins;
  options.certificate = settings.tls_cert;
  options.private_key = settings.tls_key;
  options.authorise = [keys = KeyCheck(settings.api_keys)](http::Request& request) {
    return keys.check(request);
  };
  options.error_response = [](int status, std::string_view message) {
    const char* type = status < 500 ? "invalid_request_error" : "server_error";
    return error_response(ApiError(status, type, "", std::string(message)),
                          openai_error(ApiError(status, type, "", std::string(message))));
  };
  options.on_access = [this](const http::AccessRecord& record) {
    metrics.count_request(record);
    log_(http::to_log_line(record));
  };
  options.on_problem = [this](std::string_view message) { log_problem(message); };
  return options;
}

void Service::add_operation_routes(http::Router& router) {
  auto open = [&](const char* pattern, http::Handler handler) {
    http::Route route;
    route.method = "GET";
    route.pattern = pattern;
    route.handler = std::move(handler);
    route.open = true;
    route.quick_below = 1;  // answered also while all workers are busy
    router.add(std::move(route));
  };
  open("/", [](http::Request, http::Exchange exchange) {
    exchange.respond(text_response("Millrace is running\n"));
  });
  open("/health", [](http::Request, http::Exchange exchange) {
    exchange.respond(text_response("{\"status\":\"ok\"}\n", "application/json"));
  });
  open("/ready", [this](http::Request, http::Exchange exchange) {
    if (!draining_ && models.ready()) {
      exchange.respond(text_response("{\"status\":\"ready\"}\n", "application/json"));
      return;
    }
    const ApiError error = unavailable(draining_ ? "going down" : "models are being loaded", 1);
    exchange.respond(error_response(error, openai_error(error)));
  });
  open("/openapi.json", [](http::Request, http::Exchange exchange) {
    exchange.respond(text_response(to_json_text(openapi_document(), 1), "application/json"));
  });
  http::Route metrics_route;
  metrics_route.method = "GET";
  metrics_route.pattern = "/metrics";
  metrics_route.handler = [this](http::Request, http::Exchange exchange) {
    EngineGauges gauges;
    gauges.pending = engine.pending();
    gauges.connections = static_cast<int64_t>(server_->open_connections());
    gauges.streams = static_cast<int64_t>(server_->open_streams());
    gauges.models = engine.states();
    exchange.respond(
        text_response(metrics.print(gauges), "text/plain; version=0.0.4; charset=utf-8"));
  };
  router.add(std::move(metrics_route));
}

http::Router Service::routes() {
  http::Router router;
  add_operation_routes(router);
  add_openai_routes(router, *this);
  add_responses_routes(router, *this);
  add_anthropic_routes(router, *this);
  add_ollama_routes(router, *this);
  return router;
}

}  // namespace millrace::serve
