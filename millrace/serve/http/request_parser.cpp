// Boost.Beast reads the grammar; what it lets pass and we do not is checked around it.
//
// Beast 1.81 asserts that there are five bytes when it comes back to a last chunk that was cut in
// its trailer. With the line end of a chunk before there are; a body's only chunk, "0\r\n", has
// three, which is all that the code after it needs.
#define BOOST_DISABLE_ASSERTS
#include "millrace/serve/http/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <string>

#include "millrace/serve/http/target.h"

namespace millrace::http {
namespace {

namespace beast = boost::beast;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

Refusal refusal_of(const beast::error_code& code) {
  using beast::http::error;
  switch (static_cast<error>(code.value())) {
    case error::bad_version:
      return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    case error::bad_content_length:
      return {400, "Content-Length is not a number"};
    case error::bad_chunk:
    case error::bad_chunk_extension:
      return {400, "a chunk of the body is malformed"};
    case error::header_limit:
      return {431, "the header fields are too large"};
    default:
      return {400, "the request is not HTTP: " + code.message()};
  }
}

}  // namespace

class RequestParser::Impl : public beast::http::basic_parser<true> {
 public:
  explicit Impl(size_t max_header_bytes) : max_header_bytes_(max_header_bytes) {
    body_limit(boost::none);  // ours depends on the route, which the head names
    header_limit(static_cast<uint32_t>(max_header_bytes) + 1);
  }

  size_t feed(std::string_view bytes) {
    return is_header_done() ? feed_body(bytes) : feed_head(bytes);
  }
  void limit_body(size_t bytes) {
    body_limit_ = bytes;
    if (content_length() && *content_length() > bytes) refuse_size();
  }
  bool begun() const { return !head_.empty(); }
  bool chunks_allowed() const { return version_ >= 11; }
  bool expects_continue() const { return request_.headers.has("Expect"); }
  Request& request() { return request_; }

 private:
  // Takes the head's bytes one line's end after the other, so that what is wrong is refused when
  // it comes, not when the head is complete.
  size_t feed_head(std::string_view bytes) {
    size_t taken = 0;
    bool ended = false;
    while (taken < bytes.size() && !ended) {
      head_ += bytes[taken++];
      ended = check_last_byte();
      if (head_ == "\r\n") head_.clear();  // an empty line before a request (RFC 9112, 2.2)
    }
    if (!ended) return taken;
    put_all();
    check_head();
    return taken;
  }

  // Whether the head ends here.
  bool check_last_byte() {
    const char last = head_.back();
    const char before = head_.size() > 1 ? head_[head_.size() - 2] : '\0';
    if ((last == '\n') != (before == '\r')) throw Refusal(400, "a line does not end in CR LF");
    if (before == '\n' && (last == ' ' || last == '\t')) {
      throw Refusal(400, "a header field is folded");
    }
    const auto byte = static_cast<unsigned char>(last);
    if ((byte < 0x20 && last != '\r' && last != '\n' && last != '\t') || byte == 0x7f) {
      throw Refusal(400, "the request has a control character");
    }
    if (head_.size() > max_header_bytes_) {
      const bool line = head_.find('\n') == std::string::npos;
      throw Refusal(line ? 414 : 431,
                    fmt::format("the {} longer than {} bytes",
                                line ? "URL is" : "header fields are", max_header_bytes_));
    }
    return head_.ends_with("\r\n\r\n");
  }

  void put_all() {
    beast::error_code error;
    put({head_.data(), head_.size()}, error);
    if (error) throw refusal_of(error);
    if (!is_header_done()) throw Refusal(400, "the request is not HTTP");
    head_.assign(1, '\0');  // begun
    head_.shrink_to_fit();
    eager(true);
  }

  size_t feed_body(std::string_view bytes) {
    size_t taken = 0;
    while (taken < bytes.size() && !is_done()) {
      beast::error_code error;
      const size_t used = put({bytes.data() + taken, bytes.size() - taken}, error);
      taken += used;
      if (error == beast::http::error::need_more || (!error && used == 0)) break;
      if (error) throw refusal_of(error);
    }
    if (!is_done() && bytes.size() - taken > max_header_bytes_) {
      throw Refusal(400, "a chunk's header is too long");
    }
    return taken;
  }

  [[noreturn]] void refuse_size() const {
    throw Refusal(413, fmt::format("the body is longer than {} bytes", body_limit_));
  }

  void check_head() {
    const Headers& headers = request_.headers;
    for (const char* name : {"Host", "Content-Length", "Transfer-Encoding", "Authorization"}) {
      if (headers.count(name) > 1) throw Refusal(400, fmt::format("there are two {} fields", name));
    }
    if (version_ >= 11 && !headers.has("Host")) throw Refusal(400, "there is no Host field");
    if (headers.has("Transfer-Encoding")) {
      if (headers.has("Content-Length") || version_ < 11) {
        throw Refusal(400, "the body has chunks and a length, or comes by HTTP/1.0");
      }
      if (!same_name(headers.get("Transfer-Encoding"), "chunked")) {
        throw Refusal(501, "the only Transfer-Encoding known here is chunked");
      }
    }
    const std::string_view length = headers.get("Content-Length");
    if (headers.has("Content-Length") &&
        (length.empty() || length.find_first_not_of("0123456789") != std::string_view::npos)) {
      throw Refusal(400, "Content-Length is not a number");
    }
    if (headers.has("Expect") && !same_name(headers.get("Expect"), "100-continue")) {
      throw Refusal(417, "the only Expect known here is 100-continue");
    }
    Target target = http::parse_target(target_);
    request_.path = std::move(target.path);
    request_.query = std::move(target.query);
    if (!target.authority.empty()) request_.headers.set("Host", target.authority);
  }

  size_t append_body(beast::string_view bytes) {
    if (bytes.size() > body_limit_ - request_.body.size()) refuse_size();
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  // Beast's side.
  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code&) override {
    request_.method = view(method);
    target_ = view(target);
    version_ = version;
  }
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_field_impl(beast::http::field, beast::string_view name, beast::string_view value,
                     beast::error_code&) override {
    if (is_header_done()) return;  // a trailer must not become a header field
    request_.headers.add(std::string(view(name)), std::string(view(value)));
  }
  void on_header_impl(beast::error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, beast::error_code&) override {}
  size_t on_body_impl(beast::string_view bytes, beast::error_code&) override {
    return append_body(bytes);
  }
  void on_chunk_header_impl(uint64_t size, beast::string_view, beast::error_code&) override {
    if (size > body_limit_ - request_.body.size()) refuse_size();
  }
  size_t on_chunk_body_impl(uint64_t, beast::string_view bytes, beast::error_code&) override {
    return append_body(bytes);
  }
  void on_finish_impl(beast::error_code&) override {}

  const size_t max_header_bytes_;
  size_t body_limit_ = 0;
  std::string head_;  // bytes of the head so far
  std::string target_;
  int version_ = 11;
  Request request_;
};

RequestParser::RequestParser(size_t max_header_bytes)
    : impl_(std::make_unique<Impl>(max_header_bytes)) {}
RequestParser::~RequestParser() = default;

size_t RequestParser::feed(std::string_view bytes) {
  return impl_->feed(bytes);
}
void RequestParser::limit_body(size_t bytes) {
  impl_->limit_body(bytes);
}
bool RequestParser::begun() const {
  return impl_->begun();
}
bool RequestParser::has_head() const {
  return impl_->is_header_done();
}
bool RequestParser::complete() const {
  return impl_->is_done();
}
Request& RequestParser::request() {
  return impl_->request();
}
bool RequestParser::keep_alive() const {
  return impl_->keep_alive();
}
bool RequestParser::chunks_allowed() const {
  return impl_->chunks_allowed();
}
bool RequestParser::expects_continue() const {
  return impl_->expects_continue();
}

}  // namespace millrace::http
