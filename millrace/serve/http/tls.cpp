#include "millrace/serve/http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <string>

#include "millrace/base/error.h"

namespace millrace::http {
namespace {

using Context = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;

/// The last thing that OpenSSL complained of.
std::string openssl_reason() {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

/// HTTP/1.1 is all that we speak, also where a client would like more.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in,
                    unsigned int in_length, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  return SSL_select_next_proto(const_cast<unsigned char**>(out), length, kHttp11,
                               sizeof(kHttp11) - 1, in, in_length) == OPENSSL_NPN_NEGOTIATED
             ? SSL_TLSEXT_ERR_OK
             : SSL_TLSEXT_ERR_NOACK;
}

Context load(const std::filesystem::path& certificate, const std::filesystem::path& private_key) {
  Context context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  require(context != nullptr, "TLS cannot be set up: {}", openssl_reason());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  require(SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) == 1,
          "{}: no certificate in PEM form could be read ({})", certificate.string(),
          openssl_reason());
  require(SSL_CTX_use_PrivateKey_file(context.get(), private_key.c_str(), SSL_FILETYPE_PEM) == 1 &&
              SSL_CTX_check_private_key(context.get()) == 1,
          "{}: no private key of the certificate {} could be read ({})", private_key.string(),
          certificate.string(), openssl_reason());
  return context;
}

}  // namespace

Certificates::Certificates(std::filesystem::path certificate, std::filesystem::path private_key)
    : certificate_(std::move(certificate)),
      private_key_(std::move(private_key)),
      seen_(times()),
      context_(load(certificate_, private_key_)) {}

Certificates::~Certificates() = default;

Certificates::Times Certificates::times() const {
  std::error_code ignored;
  return {std::filesystem::last_write_time(certificate_, ignored),
          std::filesystem::last_write_time(private_key_, ignored)};
}

void Certificates::refresh() {
  const Times now = times();
  if (now == seen_) return;
  seen_ = now;
  context_ = load(certificate_, private_key_);
}

ssl_st* Certificates::new_connection() const {
  return SSL_new(context_.get());
}

}  // namespace millrace::http
