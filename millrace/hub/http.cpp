#include "millrace/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaderBytes = size_t{256} << 10;

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::optional<std::string> header_in(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return std::nullopt;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Where this system keeps the certificates that it trusts, if not where libcurl was told that
/// they are (a library that was built for another system): empty then.
std::string certificates() {
  const char* chosen = std::getenv("SSL_CERT_FILE");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  for (const char* path : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  return "";
}

void* new_handle() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  CURL* handle = curl_easy_init();
  require(handle != nullptr, "libcurl cannot be started");
  return handle;
}

}  // namespace

std::optional<std::string> Reply::header(std::string_view name) const {
  return header_in(headers, name);
}

/// One request and its answer, without redirects.
class HttpClient::Transfer {
 public:
  Transfer(CURL* handle, const HttpOptions& options, const Request& request, bool with_secrets,
           std::string url)
      : handle_(handle), options_(options) {
    reply_.url = std::move(url);
    curl_easy_reset(handle_);
    set_limits();
    set_request(request, with_secrets);
  }
  ~Transfer() { curl_slist_free_all(headers_); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  Reply run(const std::function<void(const Reply&)>& on_head,
            const std::function<void(std::span<const std::byte>)>& on_body) {
    on_head_ = &on_head;
    on_body_ = &on_body;
    const CURLcode code = curl_easy_perform(handle_);
    if (failure_) std::rethrow_exception(failure_);
    if (code == CURLE_ABORTED_BY_CALLBACK) throw Stopped();
    if (code != CURLE_OK && !is_redirect(reply_.status)) fail_with(code);
    begin_body();  // of an answer without one
    if (failure_) std::rethrow_exception(failure_);
    return std::move(reply_);
  }

 private:
  template <typename T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(handle_, option, value);
  }

  void set_limits() {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME,
        std::max<long>(1, static_cast<long>(options_.silence_timeout.count() / 1000)));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFODATA, this);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    const std::string bundle = certificates();
    if (!bundle.empty()) set(CURLOPT_CAINFO, bundle.c_str());
  }

  void set_request(const Request& request, bool with_secrets) {
    set(CURLOPT_URL, reply_.url.c_str());
    set(CURLOPT_USERAGENT, "millrace/0.1.0");
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_HEADERFUNCTION, &Transfer::on_header_line);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    if (with_secrets) {
      for (const auto& [name, value] : request.secrets) {
        headers_ = curl_slist_append(headers_, fmt::format("{}: {}", name, value).c_str());
      }
    }
    set(CURLOPT_HTTPHEADER, headers_);
    if (request.range) {
      const auto& [begin, end] = *request.range;
      set(CURLOPT_RANGE, fmt::format("{}-{}", begin, end - 1).c_str());
    }
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& stop = static_cast<Transfer*>(self)->options_.stop;
    return stop && stop() ? 1 : 0;
  }

  static size_t on_header_line(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->add_header({data, size * count}) ? size * count : 0;
  }

  static size_t on_bytes(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->add_bytes({data, size * count}) ? size * count : 0;
  }

  bool add_header(std::string_view line) {
    header_bytes_ += line.size();
    if (header_bytes_ > kMaxHeaderBytes) return false;
    if (line.starts_with("HTTP/")) reply_.headers.clear();  // the answer after an interim one
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && !line.starts_with("HTTP/")) {
      reply_.headers.emplace_back(lower_case(line.substr(0, colon)),
                                  trimmed(line.substr(colon + 1)));
    }
    return true;
  }

  void note_status() {
    long status = 0;
    curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
    reply_.status = static_cast<int>(status);
  }

  void begin_body() {
    if (begun_) return;
    begun_ = true;
    note_status();
    if (is_redirect(reply_.status)) return;
    try {
      (*on_head_)(reply_);
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  bool add_bytes(std::string_view bytes) {
    begin_body();
    if (failure_) return false;
    if (is_redirect(
            reply_.status)) {  // a few words that nobody reads; then the connection lives on
      redirect_bytes_ += bytes.size();
      return redirect_bytes_ <= kMaxHeaderBytes;
    }
    try {
      (*on_body_)(std::as_bytes(std::span(bytes)));
    } catch (...) {
      failure_ = std::current_exception();
    }
    return !failure_;
  }

  [[noreturn]] void fail_with(CURLcode code) const {
    const std::string message =
        fmt::format("{}: {}", public_url(reply_.url), curl_easy_strerror(code));
    switch (code) {
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        fail("{}; install ca-certificates, or name your own by SSL_CERT_FILE", message);
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_FAILED_INIT:
      case CURLE_OUT_OF_MEMORY:
        fail("{}", message);
      case CURLE_WRITE_ERROR:
        fail("{}: its answer has a head of more than {} bytes", public_url(reply_.url),
             kMaxHeaderBytes);
      default:
        throw PassingError(message);
    }
  }

  CURL* handle_;
  const HttpOptions& options_;
  curl_slist* headers_ = nullptr;
  const std::function<void(const Reply&)>* on_head_ = nullptr;
  const std::function<void(std::span<const std::byte>)>* on_body_ = nullptr;
  Reply reply_;
  size_t header_bytes_ = 0, redirect_bytes_ = 0;
  bool begun_ = false;
  std::exception_ptr failure_;
};

HttpClient::HttpClient(HttpOptions options)
    : options_(std::move(options)),
      handle_(new_handle(), [](void* handle) { curl_easy_cleanup(static_cast<CURL*>(handle)); }) {}

HttpClient::~HttpClient() = default;

Reply HttpClient::get(const Request& request, const std::function<void(const Reply&)>& on_head,
                      const std::function<void(std::span<const std::byte>)>& on_body) {
  const std::string home = origin_of(request.url);
  std::string url = request.url;
  std::optional<Headers> first;
  auto see_head = [&](const Reply& reply) {
    Reply whole = reply;
    whole.first_headers = first.value_or(reply.headers);
    on_head(whole);
  };
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    const bool may_have_secrets = origin_of(url) == home && !is_in_clear(url);
    Transfer transfer(static_cast<CURL*>(handle_.get()), options_, request, may_have_secrets, url);
    Reply reply = transfer.run(see_head, on_body);
    if (!first) first = reply.headers;
    reply.first_headers = *first;
    if (!is_redirect(reply.status)) return reply;
    const std::optional<std::string> target = reply.header("location");
    require(target.has_value(), "{}: redirects to nowhere (HTTP {} without Location)",
            public_url(url), reply.status);
    std::string next = resolved_url(url, *target);
    require(!url.starts_with("https:") || next.starts_with("https:"),
            "{}: redirects from https to {}, which is refused", public_url(url), public_url(next));
    url = std::move(next);
  }
  fail("{}: redirects more than {} times", public_url(request.url), kMaxRedirects);
}

void check_busy(const Reply& reply) {
  if (reply.status != 408 && reply.status != 429 && reply.status < 500) return;
  const std::optional<std::string> wait = reply.header("retry-after");
  const long seconds = wait ? std::strtol(wait->c_str(), nullptr, 10) : 0;
  throw PassingError(fmt::format("{}: HTTP {}{}", public_url(reply.url), reply.status,
                                 reply.status == 429 ? ", too many requests" : ""),
                     std::chrono::seconds(std::clamp<long>(seconds, 0, 1'000'000)));
}

void wait_for(std::chrono::milliseconds time, const HttpOptions& options) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (options.stop && options.stop()) throw Stopped();
    std::this_thread::sleep_for(std::min(time, std::chrono::milliseconds(50)));
  }
}

void with_retries(const HttpOptions& options, const std::function<uint64_t()>& progress,
                  const std::function<void()>& attempt) {
  uint64_t before = progress();
  HttpOptions::Duration wait = options.first_wait;
  for (int left = options.tries;;) {
    try {
      return attempt();
    } catch (const PassingError& error) {
      const uint64_t now = progress();
      if (now != before) {
        left = options.tries;
        wait = options.first_wait;
      }
      before = now;
      require(--left > 0, "{} (tried {} times)", error.what(), options.tries);
      require(error.retry_after <= options.longest_wait,
              "{}; the server asks to wait {} s: try again then", error.what(),
              error.retry_after.count());
      wait_for(std::max<HttpOptions::Duration>(wait, error.retry_after), options);
      wait *= 2;
    }
  }
}

}  // namespace millrace::hub
