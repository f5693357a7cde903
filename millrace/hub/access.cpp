#include "millrace/hub/access.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>

#include "millrace/base/file.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

namespace fs = std::filesystem;

struct Hub {
  const char* endpoint;
  const char* endpoint_variable;
  const char* token_variables[2];
  const char* token_file;
};
constexpr Hub kHuggingFace = {"https://huggingface.co",
                              "MILLRACE_HF_ENDPOINT",
                              {"MILLRACE_HF_TOKEN", "HF_TOKEN"},
                              "hf-token"};
constexpr Hub kModelScope = {"https://www.modelscope.cn",
                             "MILLRACE_MS_ENDPOINT",
                             {"MILLRACE_MS_TOKEN", "MODELSCOPE_API_TOKEN"},
                             "ms-token"};

const Hub& hub_of(Source source) {
  return source == Source::hugging_face ? kHuggingFace : kModelScope;
}

std::string value_of(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

/// A token that could not be a header's value would change the request.
std::string checked_token(std::string token, const std::string& source) {
  while (!token.empty() && std::isspace(static_cast<unsigned char>(token.back()))) token.pop_back();
  require(std::ranges::all_of(token, [](unsigned char c) { return c > 0x20 && c < 0x7f; }),
          "{}: holds more than one line with a token", source);
  return token;
}

std::string token_in(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return "";
  require(S_ISREG(status.st_mode), "{}: is not a regular file", path.string());
  require((status.st_mode & 077) == 0,
          "{}: others may read the token (mode {:04o}); chmod 600 {}, and have a new token made if "
          "they could have",
          path.string(), status.st_mode & 07777, path.string());
  return checked_token(read_file(path, 4096), path.string());
}

std::string how_to_give_a_token(const Access& access) {
  const Hub& hub = hub_of(access.source);
  return fmt::format("give a token by {} or in {} (chmod 600)", hub.token_variables[1],
                     access.token_file.string());
}

std::string with_token_advice(const Access& access) {
  if (access.token.empty()) return how_to_give_a_token(access);
  if (is_in_clear(access.endpoint)) return "the token was not sent, as the endpoint is not https";
  return "the token that was sent does not allow it";
}

}  // namespace

Headers Access::secrets() const {
  if (token.empty()) return {};
  Headers headers = {{"Authorization", "Bearer " + token}};
  if (source == Source::model_scope) headers.emplace_back("Cookie", "m_session_id=" + token);
  return headers;
}

Access access_of(Source source, const fs::path& home, const Environment& environment) {
  Access result;
  result.source = source;
  if (source != Source::hugging_face && source != Source::model_scope) return result;
  const Hub& hub = hub_of(source);
  result.endpoint = value_of(environment, hub.endpoint_variable);
  if (result.endpoint.empty()) result.endpoint = hub.endpoint;
  while (result.endpoint.ends_with('/')) result.endpoint.pop_back();
  require(result.endpoint.find("://") != std::string::npos, "{}={}: must be a URL, https://…",
          hub.endpoint_variable, quote(result.endpoint));
  origin_of(result.endpoint);
  result.token_file = home / hub.token_file;
  for (const char* variable : hub.token_variables) {
    result.token = checked_token(value_of(environment, variable), variable);
    if (!result.token.empty()) return result;
  }
  result.token = token_in(result.token_file);
  return result;
}

void check_allowed(const Reply& reply, const Access& access, const std::string& what) {
  check_busy(reply);
  if (reply.status >= 200 && reply.status < 300) return;
  const std::string code = reply.header("x-error-code").value_or("");
  const bool own = access.source != Source::url;
  if (own && (code == "GatedRepo" || reply.status == 403)) {
    fail("{}: access is restricted: ask for it on the model's page at {}; then {}", what,
         access.endpoint, with_token_advice(access));
  }
  if (own && reply.status == 401) {
    fail("{}: there is no such model, or it is private: check its name; if it is private, {}", what,
         with_token_advice(access));
  }
  if (code == "RevisionNotFound") fail("{}: has no such revision", what);
  if (reply.status == 404) {
    fail("{}: not found at {} (HTTP 404): check the name and the revision", what,
         public_url(reply.url));
  }
  fail("{}: {} answers with HTTP {}", what, public_url(reply.url), reply.status);
}

}  // namespace millrace::hub
