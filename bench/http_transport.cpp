// What the transport costs: the time of a request beside that of bytes over a bare socket, and the
// memory of streams that are open and silent.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "millrace/serve/http/server.h"

namespace millrace::http {
namespace {

constexpr char kRequest[] =
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    "Content-Type: application/json\r\nAuthorization: Bearer 0123456789\r\n\r\n{}";
constexpr char kStream[] = "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n";

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connected(int port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  const int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  require(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
          "cannot connect to port {}", port);
  return descriptor;
}

/// Sends, and reads until `end` has come.
void ask(int descriptor, std::string_view request, std::string_view end) {
  require(::send(descriptor, request.data(), request.size(), 0) > 0, "cannot send");
  std::string got;
  char bytes[4096];
  while (got.find(end) == std::string::npos) {
    const ssize_t count = ::recv(descriptor, bytes, sizeof bytes, 0);
    require(count > 0, "the server has closed");
    got.append(bytes, static_cast<size_t>(count));
  }
}

class Site {
 public:
  Site() : server_(options(), routes()) { server_.start(); }
  Server& server() { return server_; }
  size_t num_streams() {
    const std::lock_guard lock(mutex_);
    return streams_.size();
  }

 private:
  static ServerOptions options() {
    ServerOptions options;
    options.port = 0;
    return options;
  }
  Router routes() {
    Router router;
    auto echo = [](const Request& request, const Exchange& exchange) {
      exchange.respond({200, {{"Content-Type", "application/json"}}, request.body});
    };
    router.add({"POST", "/echo", echo});
    router.add({"POST", "/fast", echo, 100, false, 100});
    router.add({"GET", "/stream", [this](const Request&, const Exchange& exchange) {
                  exchange.begin_stream(event_stream());
                  const std::lock_guard lock(mutex_);
                  streams_.push_back(exchange);
                }});
    return router;
  }
  std::mutex mutex_;
  std::vector<Exchange> streams_;
  Server server_;
};

/// One request after the other on one connection; the median leaves out the machine's other work.
void ask_often(benchmark::State& state, int port, const std::string& request) {
  using Clock = std::chrono::steady_clock;
  const int descriptor = connected(port);
  std::vector<double> times;
  for (auto _ : state) {
    const auto start = Clock::now();
    ask(descriptor, request, "\r\n\r\n{}");
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  ::close(descriptor);
  const auto middle = times.begin() + static_cast<ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  state.counters["median_us"] = *middle;
}

void request(benchmark::State& state) {
  Site site;
  ask_often(state, site.server().port(), kRequest);
}
void quick_request(benchmark::State& state) {
  Site site;
  ask_often(state, site.server().port(), "POST /fast" + std::string(kRequest).substr(10));
}
BENCHMARK(request)->UseRealTime();
BENCHMARK(quick_request)->UseRealTime();

/// The same bytes to and fro, by a thread that does nothing else.
void bare_socket(benchmark::State& state) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  require(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
              ::listen(listener, 1) == 0,
          "cannot listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::thread echo([listener] {
    const int peer = ::accept(listener, nullptr, nullptr);
    char bytes[4096];
    for (ssize_t count; (count = ::recv(peer, bytes, sizeof bytes, 0)) > 0;) {
      ::send(peer, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
    }
    ::close(peer);
  });
  ask_often(state, ntohs(address.sin_port), kRequest);
  echo.join();
  ::close(listener);
}
BENCHMARK(bare_socket)->UseRealTime();

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/// Opens this many streams that then say nothing; the clients' ends cost no memory of ours.
void idle_streams(benchmark::State& state) {
  const auto wanted = static_cast<size_t>(state.range(0));
  Site site;
  for (auto _ : state) {
    const double before = resident_bytes();
    std::vector<int> clients;
    while (clients.size() < wanted) {
      clients.push_back(connected(site.server().port()));
      ask(clients.back(), kStream, "\r\n\r\n");
    }
    require(site.num_streams() == wanted, "a stream is missing");
    const double used = resident_bytes() - before;
    state.counters["MB"] = used / 1e6;
    state.counters["KB_a_stream"] = used / 1e3 / static_cast<double>(wanted);
    for (int descriptor : clients) ::close(descriptor);
  }
}
BENCHMARK(idle_streams)->Arg(2000)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace::http
