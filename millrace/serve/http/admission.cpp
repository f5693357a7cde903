#include "millrace/serve/http/admission.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "millrace/base/json.h"
#include "millrace/base/random.h"

namespace millrace::http {
namespace {

/// "name:80" → "name", "[::1]:80" → "::1", in lower case.
std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  std::string name = lower_case(host);
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_address(const std::string& name) {
  in6_addr ignored;
  return inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

bool is_loopback(const std::string& name) {
  return name == "localhost" || name.ends_with(".localhost") || name == "::1" ||
         (name.starts_with("127.") && is_address(name));
}

bool listed(const std::vector<std::string>& list, const std::string& name) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& one) { return one == "*" || lower_case(one) == name; });
}

/// Header names that a page asked for, when they are nothing but names.
std::string requested_headers(const Request& request) {
  const std::string_view asked = request.headers.get("Access-Control-Request-Headers");
  auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == ',' || c == ' ';
  };
  const bool sane =
      !asked.empty() && asked.size() <= 1024 && std::all_of(asked.begin(), asked.end(), plain);
  return sane ? std::string(asked) : "Authorization, Content-Type";
}

Response options_response(const Request& request, const std::string& allowed) {
  Response response{204, {{"Allow", allowed}}, ""};
  if (request.headers.has("Access-Control-Request-Method")) {
    response.headers.add("Access-Control-Allow-Methods", allowed);
    response.headers.add("Access-Control-Allow-Headers", requested_headers(request));
    response.headers.add("Access-Control-Max-Age", "600");
  }
  return response;
}

}  // namespace

bool host_allowed(const ServerOptions& options, std::string_view host) {
  const std::string name = host_name(host);
  return is_loopback(name) || is_address(name) || name == lower_case(options.host) ||
         listed(options.allowed_hosts, name);
}

bool origin_allowed(const ServerOptions& options, std::string_view origin, std::string_view host) {
  const std::string whole = lower_case(origin);
  if (listed(options.cors_origins, whole)) return true;
  const size_t scheme = whole.find("://");
  if (scheme == std::string::npos) return false;  // "null": a file, a sandbox
  const std::string authority = whole.substr(scheme + 3);
  return authority == lower_case(host) || is_loopback(host_name(authority));
}

Response refusal_response(const ServerOptions& options, int status, std::string_view message) {
  if (options.error_response) return options.error_response(status, message);
  const Json body = {{"error", {{"message", message}}}};
  return {status, {{"Content-Type", "application/json"}}, to_json_text(body)};
}

std::optional<Response> answer_by_head(const ServerOptions& options, const Router& router,
                                       bool draining, Request& request, Router::Match& match) {
  auto refuse = [&](int status, const std::string& message) {
    return refusal_response(options, status, message);
  };
  const std::string_view host = request.headers.get("Host");
  if (request.headers.has("Host") && !host_allowed(options, host)) {
    return refuse(403, fmt::format("the host {} is not served here; the server's administrator "
                                   "can allow its name",
                                   quote(host)));
  }
  const std::string_view origin = request.headers.get("Origin");
  if (!origin.empty() && !origin_allowed(options, origin, host)) {
    return refuse(403, fmt::format("web pages of {} may not call this server; its administrator "
                                   "can allow the origin",
                                   quote(origin)));
  }
  match = router.match(request.method, request.path);
  if (match.route == nullptr) {
    if (request.method == "OPTIONS" && (!match.allowed.empty() || request.path == "*")) {
      return options_response(request, match.allowed);
    }
    if (match.allowed.empty()) {
      return refuse(404, fmt::format("there is no {}", quote(request.path)));
    }
    Response response = refuse(405, fmt::format("{} takes {}, not {}", quote(request.path),
                                                match.allowed, quote(request.method)));
    response.headers.set("Allow", match.allowed);
    return response;
  }
  request.route = match.route->pattern;
  request.path_parameters = std::move(match.parameters);
  if (match.route->open) return std::nullopt;
  if (options.authorise) {
    if (auto refused = options.authorise(request)) return refused;
  }
  if (draining) {
    Response response = refuse(503, "the server is shutting down");
    response.headers.set("Retry-After", "1");
    return response;
  }
  return std::nullopt;
}

Headers common_headers(const ServerOptions& options, const Request& request) {
  Headers headers = {{"x-request-id", request.id}, {"Vary", "Origin"}};
  const std::string_view origin = request.headers.get("Origin");
  if (!origin.empty() && origin_allowed(options, origin, request.headers.get("Host"))) {
    headers.add("Access-Control-Allow-Origin", std::string(origin));
    headers.add("Access-Control-Expose-Headers", "*");
  }
  return headers;
}

std::string request_id(std::string_view asked) {
  auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  };
  if (!asked.empty() && asked.size() <= 128 && std::all_of(asked.begin(), asked.end(), plain)) {
    return std::string(asked);
  }
  thread_local Random random(std::random_device{}() | uint64_t{std::random_device{}()} << 32);
  return fmt::format("req_{:016x}{:08x}", random.bits(), random.bits() >> 32);
}

}  // namespace millrace::http
