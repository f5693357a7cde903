// TLS with a certificate made here, and its replacement while the server runs.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/scratch.h"
#include "tests/serve/http/raw_client.h"
#include "tests/serve/http/site.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;

/// A self-signed certificate of this name and its key, as PEM.
struct SelfSigned {
  explicit SelfSigned(const std::string& name) {
    EVP_PKEY* pair = EVP_EC_gen("P-256");
    X509* x509 = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pair);
    X509_NAME* subject = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_sign(x509, pair, EVP_sha256());
    certificate = written([&](BIO* out) { PEM_write_bio_X509(out, x509); });
    key = written([&](BIO* out) {
      PEM_write_bio_PrivateKey(out, pair, nullptr, nullptr, 0, nullptr, nullptr);
    });
    X509_free(x509);
    EVP_PKEY_free(pair);
  }
  template <typename Write>
  static std::string written(Write&& write) {
    BIO* memory = BIO_new(BIO_s_mem());
    write(memory);
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(memory, &bytes);
    std::string text(bytes, static_cast<size_t>(size));
    BIO_free(memory);
    return text;
  }
  std::string certificate, key;
};

/// A TLS connection that believes every certificate, and tells whose it was.
class TlsClient {
 public:
  explicit TlsClient(int port)
      : raw_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    SSL_set_fd(ssl_, raw_.descriptor());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool connected() const { return connected_; }
  std::string peer() const {
    X509* certificate = SSL_get1_peer_certificate(ssl_);
    char name[100] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof name);
    X509_free(certificate);
    return name;
  }
  void send(const std::string& bytes) {
    SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  }
  /// Reads until `text` has come; what came, when the end came first.
  std::string read_past(const std::string& text) {
    std::string all;
    char byte;
    while (!all.ends_with(text) && SSL_read(ssl_, &byte, 1) == 1) all += byte;
    return all;
  }
  /// Whether the server ended by TLS's own end.
  bool ended_properly() {
    char byte;
    while (SSL_read(ssl_, &byte, 1) == 1) {
    }
    return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  void leave() { raw_.close(); }

 private:
  RawClient raw_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

class Tls : public testing::Test {
 protected:
  void write(const SelfSigned& one) {
    folder_.write("certificate.pem", one.certificate);
    folder_.write("key.pem", one.key);
  }
  ServerOptions options() const {
    ServerOptions options;
    options.certificate = folder_ / "certificate.pem";
    options.private_key = folder_ / "key.pem";
    return options;
  }
  /// Sets the files' times apart from what they were.
  void touch(int seconds) const {
    for (const char* name : {"certificate.pem", "key.pem"}) {
      std::filesystem::last_write_time(
          folder_ / name,
          std::filesystem::file_time_type::clock::now() + std::chrono::seconds(seconds));
    }
  }
  ScratchFolder folder_;
};

TEST_F(Tls, RequestsAndStreams) {
  write(SelfSigned("one"));
  Site site(options());
  TlsClient client(site.port());
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.peer(), "one");
  client.send(get("/hello"));
  EXPECT_TRUE(client.read_past("hello").ends_with("\r\n\r\nhello"));
  const std::string large(1 << 20, 'x');
  client.send(post("/echo", large + "!"));
  EXPECT_GT(client.read_past("!").size(), large.size());
  EXPECT_TRUE(site.last_request().secure);
  client.send(get("/stream"));
  site.held().write("data: 1\n\n");
  client.read_past("data: 1\n\n\r\n");
  site.held().finish();
  client.read_past("0\r\n\r\n");
  client.send(get("/hello", "Connection: close\r\n"));
  EXPECT_TRUE(client.ended_properly());
}

TEST_F(Tls, LeavingIsNoticed) {
  write(SelfSigned("one"));
  Site site(options());
  TlsClient client(site.port());
  client.send(get("/stream"));
  site.held();
  client.leave();
  EXPECT_TRUE(eventually([&] { return site.num_closed() == 1; }, milliseconds(1000)));
}

TEST_F(Tls, WhoDoesNotSpeakItIsDropped) {
  write(SelfSigned("one"));
  ServerOptions impatient = options();
  impatient.header_timeout = milliseconds(200);
  Site site(impatient);
  RawClient plain(site.port()), silent(site.port());
  plain.send(get("/hello"));
  EXPECT_EQ(plain.reply().status, 0);
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(TlsClient(site.port()).connected());
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
}

TEST_F(Tls, ANewCertificateIsUsedByNewConnections) {
  write(SelfSigned("one"));
  touch(-100);
  Site site(options());
  TlsClient before(site.port());
  EXPECT_EQ(before.peer(), "one");
  write(SelfSigned("two"));
  touch(0);
  EXPECT_EQ(TlsClient(site.port()).peer(), "two");
  before.send(get("/hello"));
  EXPECT_TRUE(before.read_past("hello").ends_with("hello")) << "the old connection goes on";

  folder_.write("certificate.pem", "damaged");
  touch(100);
  EXPECT_EQ(TlsClient(site.port()).peer(), "two") << "the last good one";
  EXPECT_EQ(TlsClient(site.port()).peer(), "two");
  ASSERT_EQ(site.problems().size(), 1u) << "told once";
  EXPECT_NE(site.problems()[0].find("certificate.pem"), std::string::npos);
}

TEST_F(Tls, FilesThatCannotBeUsedAreErrors) {
  const SelfSigned one("one"), two("two");
  auto error_of = [&] {
    try {
      Server(options(), Router()).start();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(error_of().find("certificate.pem"), std::string::npos) << "missing";
  folder_.write("certificate.pem", one.certificate);
  folder_.write("key.pem", two.key);
  EXPECT_NE(error_of().find("key.pem"), std::string::npos) << "of another certificate";
  folder_.write("key.pem", "");
  EXPECT_NE(error_of().find("key.pem"), std::string::npos) << "empty";
}

}  // namespace
}  // namespace millrace::http
