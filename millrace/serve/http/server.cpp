#include "millrace/serve/http/server.h"

#include <fmt/chrono.h>
#include <sys/resource.h>

#include <boost/asio.hpp>
#include <mutex>
#include <thread>

#include "millrace/base/json.h"
#include "millrace/serve/http/io_thread.h"
#include "millrace/serve/http/tls.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kPause{5};          // between looks at what is still under way
constexpr milliseconds kLastWords{2000};   // for refusals to be sent
constexpr milliseconds kOutOfSockets{50};  // before the next accept when there is none left

/// As many open files as connections may need, where the system lets us.
void allow_open_files(size_t connections) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = connections + 1024;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

void check(const ServerOptions& options) {
  require(options.port >= 0 && options.port <= 65535, "port: {} is not in 0..65535", options.port);
  require(options.io_threads >= 1, "io_threads: {} is less than 1", options.io_threads);
  require(options.worker_threads >= 1, "worker_threads: {} is less than 1", options.worker_threads);
  require(options.max_connections >= 1, "max_connections: must be at least 1");
  require(options.max_header_bytes >= 256 && options.max_header_bytes <= (size_t{1} << 20),
          "max_header_bytes: {} is not in 256..{}", options.max_header_bytes, 1 << 20);
  require(options.certificate.empty() == options.private_key.empty(),
          "certificate and private_key: TLS needs both files");
}

}  // namespace

std::string to_log_line(const AccessRecord& record) {
  const auto now = std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
  Json line;
  line["time"] = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z",
                             fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                             now.time_since_epoch().count() % 1000);
  line["request"] = record.id;
  line["remote"] = record.remote_address;
  line["method"] = record.method;
  line["path"] = record.path;
  line["status"] = record.status;
  line["bytes"] = record.bytes;
  line["seconds"] = record.seconds;
  line["complete"] = record.complete;
  return to_json_text(line);
}

class Server::Impl {
 public:
  Impl(ServerOptions options, Router router) : service_(std::make_shared<Service>()) {
    check(options);
    service_->options = std::move(options);
    service_->router = std::move(router);
  }

  void start() {
    const ServerOptions& options = service_->options;
    if (!options.certificate.empty()) {
      certificates_ = std::make_unique<Certificates>(options.certificate, options.private_key);
    }
    listen();
    allow_open_files(options.max_connections);
    workers_ = std::make_unique<asio::thread_pool>(static_cast<size_t>(options.worker_threads));
    service_->run_on_worker = [this](std::function<void()> work) {
      asio::post(*workers_, std::move(work));
    };
    for (int i = 0; i < options.io_threads; ++i) {
      io_.push_back(std::make_unique<IoThread>(service_));
    }
    asio::co_spawn(context_, accept_all(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }

  void stop_accepting() {
    service_->draining = true;
    asio::post(context_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
    });
  }

  bool drain(std::chrono::steady_clock::time_point deadline) const {
    service_->draining = true;
    while (service_->requests > 0) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      std::this_thread::sleep_for(kPause);
    }
    return true;
  }

  void end_answers() {
    for (const auto& io : io_) io->end_answers();
    drain(std::chrono::steady_clock::now() + kLastWords);
  }

  void stop() {
    if (!thread_.joinable()) return;
    stop_accepting();
    thread_.join();
    for (const auto& io : io_) io->stop();  // answers are closed: handlers write to nobody
    workers_->stop();
    workers_->join();
  }

  int port_ = 0;
  std::shared_ptr<Service> service_;

 private:
  void listen() {
    const ServerOptions& options = service_->options;
    error_code error;
    tcp::resolver resolver(context_);
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
    require(!error && !found.empty(), "host: {} is no address of this machine ({})",
            quote(options.host), error.message());
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    require(!error, "cannot listen on {} port {}: {}", options.host, options.port, error.message());
    port_ = acceptor_.local_endpoint().port();
  }

  asio::awaitable<void> accept_all() {
    for (size_t next = 0;; next = (next + 1) % io_.size()) {
      error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!acceptor_.is_open()) co_return;
      if (error) {
        pause_.expires_after(kOutOfSockets);
        co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      if (service_->connections >= service_->options.max_connections) continue;  // closes it
      ssl_st* tls = certificates_ ? new_tls_connection() : nullptr;
      const int descriptor = socket.release(error);
      if (!error) io_[next]->adopt(descriptor, tls);
    }
  }

  ssl_st* new_tls_connection() {
    try {
      certificates_->refresh();
    } catch (const Error& error) {
      service_->report(fmt::format("the certificate stays as it was: {}", error.what()));
    }
    return certificates_->new_connection();
  }

  std::unique_ptr<Certificates> certificates_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_{context_};
  asio::steady_timer pause_{context_};
  std::vector<std::unique_ptr<IoThread>> io_;
  std::unique_ptr<asio::thread_pool> workers_;
  std::thread thread_;  // accepts
};

Server::Server(ServerOptions options, Router router)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router))) {}
Server::~Server() {
  stop();
}

void Server::start() {
  impl_->start();
}
int Server::port() const {
  return impl_->port_;
}
void Server::refuse_requests() {
  impl_->service_->draining = true;
}
void Server::stop_accepting() {
  impl_->stop_accepting();
}
bool Server::drain(std::chrono::steady_clock::time_point deadline) {
  return impl_->drain(deadline);
}
void Server::end_answers() {
  impl_->end_answers();
}
void Server::stop() {
  impl_->stop();
}
size_t Server::open_connections() const {
  return impl_->service_->connections;
}
size_t Server::requests_in_flight() const {
  return impl_->service_->requests;
}
size_t Server::open_streams() const {
  return impl_->service_->streams;
}
const Router& Server::router() const {
  return impl_->service_->router;
}

}  // namespace millrace::http
