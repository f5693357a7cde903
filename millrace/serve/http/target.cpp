#include "millrace/serve/http/target.h"

#include <algorithm>

#include "millrace/serve/http/message.h"

namespace millrace::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

std::string decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) throw Refusal(400, "the URL has a % without two hex digits");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (plus_is_space && c == '+') {
      c = ' ';
    }
    if (is_control(c)) throw Refusal(400, "the URL has a control character");
    out += c;
  }
  return out;
}

std::string normalised(std::string_view raw) {
  const std::string decoded = decode(raw, false);
  if (decoded.find('\\') != std::string::npos) throw Refusal(400, "the URL has a backslash");
  std::string path;
  std::string_view rest = decoded;
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the slash
    const std::string_view segment = rest.substr(0, rest.find('/'));
    if (segment == "." || segment == "..") throw Refusal(400, "the URL's path has '.' or '..'");
    if (!segment.empty()) path.append("/").append(segment);
    rest.remove_prefix(segment.size());
  }
  return path.empty() ? "/" : path;
}

std::map<std::string, std::string> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    query[decode(pair.substr(0, equals), true)] = decode(value, true);
  }
  return query;
}

}  // namespace

Target parse_target(std::string_view target) {
  Target result;
  if (target == "*") {
    result.path = "*";
    return result;
  }
  target = target.substr(0, target.find('#'));
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!lower_case(target.substr(0, scheme.size())).starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    result.authority = target.substr(0, target.find_first_of("/?"));
    target.remove_prefix(result.authority.size());
    if (result.authority.empty()) throw Refusal(400, "the URL has no host");
    break;
  }
  const size_t question = std::min(target.find('?'), target.size());
  const std::string_view path = target.substr(0, question);
  if (!path.starts_with('/') && (!path.empty() || result.authority.empty())) {
    throw Refusal(400, "the URL does not begin with a slash");
  }
  result.path = normalised(path);
  result.query = parse_query(target.substr(std::min(question + 1, target.size())));
  return result;
}

}  // namespace millrace::http
