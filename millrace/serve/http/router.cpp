#include "millrace/serve/http/router.h"

#include <algorithm>
#include <set>

#include "millrace/base/error.h"

namespace millrace::http {
namespace {

using Segments = std::vector<std::string_view>;

/// "/v1/models" → "v1", "models"; "/" → none.
Segments split(std::string_view path) {
  Segments segments;
  while (path.size() > 1) {
    path.remove_prefix(1);
    segments.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(segments.back().size());
  }
  return segments;
}

bool is_parameter(std::string_view segment) {
  return segment.starts_with('{');
}
bool is_tail(std::string_view segment) {
  return segment.ends_with("...}");
}
std::string parameter_name(std::string_view segment) {
  segment.remove_prefix(1);
  segment.remove_suffix(is_tail(segment) ? 4 : 1);
  return std::string(segment);
}

/// The parameters when the path is of the pattern. Between a tail parameter and what follows it
/// there is no choice: the segments after it are counted from the path's end.
std::optional<std::map<std::string, std::string>> match_pattern(std::string_view pattern,
                                                                const Segments& path) {
  const Segments wanted = split(pattern);
  if (wanted.size() > path.size()) return std::nullopt;
  const size_t spare = path.size() - wanted.size();
  if (spare > 0 && std::none_of(wanted.begin(), wanted.end(), is_tail)) return std::nullopt;
  std::map<std::string, std::string> parameters;
  size_t at = 0;
  for (std::string_view segment : wanted) {
    std::string_view got = path[at];
    if (is_tail(segment)) {
      const std::string_view last = path[at += spare];
      got = {got.data(), static_cast<size_t>(last.data() + last.size() - got.data())};
    }
    if (is_parameter(segment)) {
      parameters[parameter_name(segment)] = std::string(got);
    } else if (segment != got) {
      return std::nullopt;
    }
    ++at;
  }
  return parameters;
}

void check_pattern(std::string_view pattern) {
  require(pattern.starts_with('/'), "route {}: a pattern begins with a slash", quote(pattern));
  int tails = 0;
  for (std::string_view segment : split(pattern)) {
    const bool whole = is_parameter(segment) && segment.ends_with('}');
    require(!segment.empty() && (whole ? !parameter_name(segment).empty()
                                       : segment.find_first_of("{}") == std::string_view::npos),
            "route {}: {} is neither a name nor a {{parameter}}", quote(pattern), quote(segment));
    tails += is_tail(segment) ? 1 : 0;
  }
  require(tails <= 1, "route {}: more than one {{name...}}", quote(pattern));
}

}  // namespace

void Router::add(Route route) {
  check_pattern(route.pattern);
  require(route.handler != nullptr, "route {}: no handler", quote(route.pattern));
  for (const Route& other : routes_) {
    require(other.method != route.method || other.pattern != route.pattern,
            "route {} {} is there already", route.method, quote(route.pattern));
  }
  routes_.push_back(std::move(route));
}

Router::Match Router::match(std::string_view method, std::string_view path) const {
  if (method == "HEAD") method = "GET";
  const Segments segments = split(path);
  std::set<std::string> methods;
  for (const Route& route : routes_) {
    auto parameters = match_pattern(route.pattern, segments);
    if (!parameters) continue;
    if (route.method == method) return {&route, std::move(*parameters), {}};
    methods.insert(route.method);
  }
  Match none;
  if (methods.empty()) return none;
  if (methods.contains("GET")) methods.insert("HEAD");
  methods.insert("OPTIONS");
  for (const std::string& one : methods) none.allowed += (none.allowed.empty() ? "" : ", ") + one;
  return none;
}

}  // namespace millrace::http
