// The server's certificate and key, read again when their files change.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

struct ssl_st;      // OpenSSL's SSL
struct ssl_ctx_st;  // and SSL_CTX

namespace millrace::http {

/// Used by one thread at a time.
class Certificates {
 public:
  /// Reads both PEM files. Throws Error naming the file that cannot be used.
  Certificates(std::filesystem::path certificate, std::filesystem::path private_key);
  ~Certificates();

  /// Reads the files again if they have changed; keeps what it has when that throws, and does not
  /// try again before they change once more.
  void refresh();
  /// The TLS state of a new connection; the caller's to free.
  ssl_st* new_connection() const;

 private:
  using Times = std::pair<std::filesystem::file_time_type, std::filesystem::file_time_type>;
  Times times() const;

  std::filesystem::path certificate_, private_key_;
  Times seen_;
  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
};

}  // namespace millrace::http
