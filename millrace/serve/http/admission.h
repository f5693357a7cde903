// What is answered before a handler sees a request: foreign hosts and web pages, preflights,
// unknown paths, missing keys, a server that is about to go.
#pragma once

#include <optional>
#include <string_view>

#include "millrace/serve/http/server.h"

namespace millrace::http {

/// Is `host` ("name", "name:port", "[::1]:8080") one that is answered? Loopback's names, IP
/// addresses, which no name server can rebind, the address that we listen on, and the allowed.
bool host_allowed(const ServerOptions& options, std::string_view host);

/// May a page of `origin` ("https://name:port") call what it named `host`? Its own server may be
/// called, pages of loopback's names may, and the allowed.
bool origin_allowed(const ServerOptions& options, std::string_view origin, std::string_view host);

/// The answer of the server itself, in the shape of options.error_response.
Response refusal_response(const ServerOptions& options, int status, std::string_view message);

/// The answer when no handler is to be asked; otherwise nullopt, and match.route is set, as are
/// the request's route, path parameters and client.
std::optional<Response> answer_by_head(const ServerOptions& options, const Router& router,
                                       bool draining, Request& request, Router::Match& match);

/// What every answer to the request carries: its id, and leave for the web page that asked, where
/// it has leave.
Headers common_headers(const ServerOptions& options, const Request& request);

/// What the client calls its request, when that is short and plain; else a new random name.
std::string request_id(std::string_view asked);

}  // namespace millrace::http
