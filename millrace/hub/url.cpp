#include "millrace/hub/url.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "millrace/base/error.h"

namespace millrace::hub {
namespace {

class Parsed {
 public:
  explicit Parsed(const std::string& url) : handle_(curl_url(), curl_url_cleanup) {
    require(set(url), "{}: is no URL", quote(url));
    const std::string scheme = part(CURLUPART_SCHEME);
    require(scheme == "https" || scheme == "http", "{}: only https and http URLs can be fetched",
            quote(url));
  }

  bool set(const std::string& url) {
    return url.find('\0') == std::string::npos &&
           curl_url_set(handle_.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  }
  void clear(CURLUPart which) { curl_url_set(handle_.get(), which, nullptr, 0); }
  /// Empty where the URL has none.
  std::string part(CURLUPart which, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_.get(), which, &text, flags) != CURLUE_OK) return "";
    const std::unique_ptr<char, decltype(&curl_free)> owned(text, curl_free);
    return text;
  }

 private:
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle_;
};

}  // namespace

std::string origin_of(const std::string& url) {
  const Parsed parsed(url);
  std::string host = parsed.part(CURLUPART_HOST);
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return std::tolower(c); });
  return fmt::format("{}://{}:{}", parsed.part(CURLUPART_SCHEME), host,
                     parsed.part(CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

std::string resolved_url(const std::string& base, const std::string& reference) {
  Parsed parsed(base);
  require(parsed.set(reference), "{}: sends to {}, which is no URL", public_url(base),
          quote(public_url(reference)));
  const std::string url = parsed.part(CURLUPART_URL);
  origin_of(url);  // http or https
  return url;
}

std::string path_and_query(const std::string& url) {
  const Parsed parsed(url);
  const std::string query = parsed.part(CURLUPART_QUERY);
  return parsed.part(CURLUPART_PATH) + (query.empty() ? "" : "?" + query);
}

std::string file_name_of(const std::string& url) {
  const std::string path = Parsed(url).part(CURLUPART_PATH, CURLU_URLDECODE);
  return path.substr(path.rfind('/') + 1);
}

std::string public_url(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  const size_t host = text.find("://");
  if (host == std::string::npos) return text;
  const size_t end = text.find('/', host + 3);
  const size_t at = text.rfind('@', end);
  if (at != std::string::npos && at > host) text.erase(host + 3, at + 1 - (host + 3));
  return text;
}

std::string escaped(std::string_view text, bool keep_slashes) {
  std::string result;
  for (char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ||
                       c == '_' || c == '~' || (keep_slashes && c == '/');
    if (plain) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

bool is_in_clear(const std::string& url) {
  const Parsed parsed(url);
  const std::string host = parsed.part(CURLUPART_HOST);
  const bool loopback =
      host == "localhost" || host == "[::1]" ||
      (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
  return parsed.part(CURLUPART_SCHEME) == "http" && !loopback;
}

}  // namespace millrace::hub
