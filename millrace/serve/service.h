// The service: models, engine, metrics and routes put together.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/serve/answer.h"
#include "millrace/serve/engine.h"
#include "millrace/serve/http/server.h"
#include "millrace/serve/metrics.h"
#include "millrace/serve/model_registry.h"
#include "millrace/serve/settings.h"

namespace millrace::serve {

class Call;

class Service {
  std::function<void(std::string_view)> log_;  // first: the others' threads log

 public:
  /// `log` takes one line at a time, from any thread. Begins to load the models.
  Service(Settings settings, std::function<void(std::string_view line)> log);

  const Settings settings;
  Metrics metrics;
  Engine engine;
  ModelRegistry models;

  /// Listens. Throws Error when it cannot.
  void start();
  int port() const { return server_->port(); }
  const http::Server& server() const { return *server_; }

  /// Ends: new requests are refused, running ones have until the drain's timeout. False: some
  /// had to be broken off.
  bool drain();

  void log_problem(std::string_view message);
  /// What a call said and was told, where the settings want that.
  void log_text(const Call& call, const Answer& answer);

 private:
  http::Router routes();
  http::ServerOptions server_options();
  void add_operation_routes(http::Router& router);

  std::atomic<bool> draining_ = false;
  std::unique_ptr<http::Server> server_;
};

/// The routes of each API.
void add_openai_routes(http::Router& router, Service& service);
void add_responses_routes(http::Router& router, Service& service);
void add_anthropic_routes(http::Router& router, Service& service);
void add_ollama_routes(http::Router& router, Service& service);

}  // namespace millrace::serve
