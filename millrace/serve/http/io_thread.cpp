#include "millrace/serve/http/io_thread.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <thread>
#include <unordered_set>

#include "millrace/serve/http/admission.h"
#include "millrace/serve/http/answer.h"
#include "millrace/serve/http/request_parser.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr size_t kReadSize = 4096;       // of a read while nothing large is expected
constexpr size_t kBodyReadSize = 65536;  // of a read for a body
constexpr size_t kReadAhead = 65536;     // of requests that wait for the one before them
constexpr size_t kPiece = 65536;         // sent within one write deadline
constexpr size_t kBodyBytesASecond = 65536;
constexpr milliseconds kFarewell{2000};  // for a client to read the last answer and close
constexpr std::string_view kPing = ": ping\n\n";
constexpr std::string_view kShuttingDown = "the server is shutting down";

void append_chunk(std::string& out, std::string_view bytes, bool chunks) {
  if (bytes.empty()) return;
  if (chunks) out += fmt::format("{:x}\r\n", bytes.size());
  out += bytes;
  if (chunks) out += "\r\n";
}

/// Counts one while it lives.
class Counted {
 public:
  explicit Counted(std::atomic<size_t>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<size_t>& count_;
};

// One connection. (g++ 12 miscompiles co_await within && and ||, so there is none.) All of it runs
// on one io thread: a coroutine that waits for whichever comes first of bytes read, bytes written,
// something to answer, and a deadline.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Service& service, tcp::socket socket, ssl_st* tls)
      : service_(service),
        options_(service.options),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()) {
    if (tls) tls_ = std::make_unique<asio::ssl::stream<tcp::socket&>>(socket_, tls);
  }

  asio::awaitable<void> run();
  /// Ends the answer under way, as Answer::end does.
  void end_answer() {
    if (answer_) answer_->end(refusal_response(options_, 503, kShuttingDown));
  }
  /// Closes the socket; whatever waits comes back.
  void abort();

 private:
  // Waits until something has happened; false: the deadline came first.
  asio::awaitable<bool> event(Clock::time_point deadline);
  void happened();

  // The socket.
  void set_up_socket();
  asio::awaitable<bool> handshake();
  void start_read(size_t size);
  asio::awaitable<bool> send(std::string bytes);
  asio::awaitable<void> farewell();

  // Requests. Each returns whether the connection can go on.
  asio::awaitable<bool> serve_one();
  asio::awaitable<bool> read_head(RequestParser& parser);
  asio::awaitable<bool> read_body(RequestParser& parser);
  void consume(RequestParser& parser);
  asio::awaitable<bool> answer_request(RequestParser& parser, AccessRecord& record);
  void describe(Request& request, AccessRecord& record);
  static bool gone(AccessRecord& record);
  void start_handler(const Route& route, Request request);
  asio::awaitable<std::optional<Answer::Output>> first_output();
  asio::awaitable<bool> send_whole(Response response, bool keep_alive, bool only_head,
                                   AccessRecord& record);
  asio::awaitable<bool> send_stream(Answer::Output output, bool chunks, bool keep_alive,
                                    AccessRecord& record);

  Service& service_;
  const ServerOptions& options_;
  tcp::socket socket_;
  std::unique_ptr<asio::ssl::stream<tcp::socket&>> tls_;  // over socket_; null: no TLS
  asio::steady_timer timer_;
  std::string remote_address_;
  std::vector<char> read_space_;  // where a read is going
  std::string buffer_;            // read and not yet parsed
  std::string out_;               // being written
  bool happened_ = false, reading_ = false, writing_ = false;
  bool ended_ = false;     // the client sends no more
  bool broken_ = false;    // nothing can be sent any more
  bool first_ = true;      // no request has come yet
  size_t body_bytes_ = 0;  // of service_.body_bytes, ours
  Headers common_;         // of every answer to the request under way
  std::shared_ptr<Answer> answer_;
};

asio::awaitable<bool> Connection::event(Clock::time_point deadline) {
  while (!happened_) {
    if (Clock::now() >= deadline) co_return false;
    timer_.expires_at(deadline);
    error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  happened_ = false;
  co_return true;
}

void Connection::happened() {
  happened_ = true;
  timer_.cancel();
}

void Connection::abort() {
  ended_ = broken_ = true;
  error_code ignored;
  socket_.close(ignored);
  if (answer_) answer_->close();
  happened();
}

// --- the socket ---

void Connection::set_up_socket() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
  // A peer that vanished without a word is noticed by what it does not acknowledge, pings included.
  const asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT> unacknowledged(
      static_cast<int>(options_.write_deadline.count()));
  socket_.set_option(unacknowledged, ignored);
  auto address = socket_.remote_endpoint(ignored).address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  remote_address_ = address.to_string();
}

asio::awaitable<bool> Connection::handshake() {
  bool done = false, good = false;
  auto finished = [&, self = shared_from_this()](error_code error) {
    done = true;
    good = !error;
    self->happened();
  };
  tls_->async_handshake(asio::ssl::stream_base::server, finished);
  auto deadline = Clock::now() + options_.header_timeout;
  while (!done) {
    if (co_await event(deadline)) continue;
    abort();
    deadline = Clock::time_point::max();  // the handshake's end follows, and uses `done`
  }
  co_return good;
}

void Connection::start_read(size_t size) {
  if (reading_ || ended_ || buffer_.size() >= kReadAhead) return;
  reading_ = true;
  if (read_space_.size() != size) read_space_ = std::vector<char>(size);
  auto finished = [self = shared_from_this()](error_code error, size_t count) {
    self->reading_ = false;
    if (error) self->ended_ = true;
    self->buffer_.append(self->read_space_.data(), count);
    self->happened();
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(read_space_), finished);
  } else {
    socket_.async_read_some(asio::buffer(read_space_), finished);
  }
}

// Returns whether all was sent; each piece has a deadline, so that a slow line may take its time
// for a long answer while a reader that stands still may not.
asio::awaitable<bool> Connection::send(std::string bytes) {
  out_ = std::move(bytes);
  for (size_t sent = 0; sent < out_.size() && !broken_; sent += kPiece) {
    const auto piece = asio::buffer(out_.data() + sent, std::min(kPiece, out_.size() - sent));
    auto finished = [self = shared_from_this()](error_code error, size_t) {
      self->writing_ = false;
      if (error) self->broken_ = true;
      self->happened();
    };
    writing_ = true;
    if (tls_) {
      asio::async_write(*tls_, piece, finished);
    } else {
      asio::async_write(socket_, piece, finished);
    }
    auto deadline = Clock::now() + options_.write_deadline;
    while (writing_) {
      if (co_await event(deadline)) continue;
      abort();
      deadline = Clock::time_point::max();  // the write's end follows, and uses out_
    }
  }
  out_ = {};
  co_return !broken_;
}

// Says that nothing more comes, and waits a little until the client has closed: to close before
// it has read the last answer, with bytes of its own unread here, would take that answer from it.
asio::awaitable<void> Connection::farewell() {
  if (broken_) co_return;
  const auto deadline = Clock::now() + kFarewell;
  if (tls_) {
    tls_->async_shutdown([self = shared_from_this()](error_code) { self->happened(); });
  } else {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  while (!ended_) {
    buffer_.clear();
    start_read(kBodyReadSize);
    if (!co_await event(deadline)) break;
  }
}

// --- reading requests ---

void Connection::consume(RequestParser& parser) {
  buffer_.erase(0, parser.feed(buffer_));
  const size_t grown = parser.request().body.size() - body_bytes_;
  body_bytes_ += grown;
  if ((service_.body_bytes += grown) > options_.max_body_memory) {
    throw Refusal(503, "too many long requests at once; try again later");
  }
}

asio::awaitable<bool> Connection::read_head(RequestParser& parser) {
  bool begun = false;
  auto deadline = Clock::now() + (first_ ? options_.header_timeout : options_.idle_timeout);
  for (;;) {
    consume(parser);
    if (parser.has_head()) break;
    if (!begun && parser.begun()) {
      begun = true;
      deadline = Clock::now() + options_.header_timeout;
    }
    if (ended_) co_return false;
    start_read(kReadSize);
    if (co_await event(deadline)) continue;
    if (!begun) co_return false;
    throw Refusal(408, "the request's head did not come in time");
  }
  first_ = false;
  co_return true;
}

asio::awaitable<bool> Connection::read_body(RequestParser& parser) {
  consume(parser);
  if (parser.expects_continue() && parser.chunks_allowed() && buffer_.empty() &&
      !parser.complete()) {
    const bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return false;
  }
  const auto start = Clock::now();
  while (!parser.complete()) {
    if (ended_) co_return false;
    start_read(kBodyReadSize);
    const std::chrono::seconds for_size(body_bytes_ / kBodyBytesASecond);
    if (!co_await event(start + options_.body_timeout + for_size)) {
      throw Refusal(408, "the request's body did not come in time");
    }
    consume(parser);
  }
  co_return true;
}

// --- answering them ---

asio::awaitable<bool> Connection::serve_one() {
  RequestParser parser(options_.max_header_bytes);
  AccessRecord record;
  std::optional<Counted> in_flight;
  std::optional<Refusal> refused;
  bool go_on = false;
  auto start = Clock::now();
  try {
    if (!co_await read_head(parser)) co_return false;
    start = Clock::now();
    in_flight.emplace(service_.requests);
    go_on = co_await answer_request(parser, record);
  } catch (const Refusal& refusal) {
    refused = refusal;
  }
  service_.body_bytes -= std::exchange(body_bytes_, 0);
  if (refused) {
    if (record.id.empty()) describe(parser.request(), record);
    Response response = refusal_response(options_, refused->status(), refused->what());
    if (refused->status() == 503) response.headers.set("Retry-After", "1");
    go_on = co_await send_whole(std::move(response), false, false, record);
  }
  record.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (options_.on_access) options_.on_access(record);
  co_return go_on;
}

void Connection::describe(Request& request, AccessRecord& record) {
  request.id = request_id(request.headers.get("x-request-id"));
  request.remote_address = remote_address_;
  request.secure = tls_ != nullptr;
  common_ = common_headers(options_, request);
  record.id = request.id;
  record.method = request.method;
  record.path = request.path;
  record.remote_address = remote_address_;
}

asio::awaitable<bool> Connection::answer_request(RequestParser& parser, AccessRecord& record) {
  Request& request = parser.request();
  describe(request, record);
  const bool only_head = request.method == "HEAD";
  Router::Match match;
  std::optional<Response> early =
      answer_by_head(options_, service_.router, service_.draining, request, match);
  record.route = request.route;
  if (early) {
    const bool keep_alive = parser.keep_alive() && parser.complete();
    co_return co_await send_whole(std::move(*early), keep_alive, only_head, record);
  }
  parser.limit_body(match.route->body_limit);
  if (!co_await read_body(parser)) co_return gone(record);
  start_handler(*match.route, std::move(request));
  std::optional<Answer::Output> output = co_await first_output();
  bool go_on = false;
  if (!output) {
    gone(record);
  } else if (!output->head) {
    Response response = refusal_response(options_, 500, "the server failed to answer");
    go_on = co_await send_whole(std::move(response), parser.keep_alive(), only_head, record);
  } else if (output->stream && !only_head) {
    go_on = co_await send_stream(std::move(*output), parser.chunks_allowed(), parser.keep_alive(),
                                 record);
  } else {
    go_on = co_await send_whole(std::move(*output->head), parser.keep_alive(), only_head, record);
  }
  answer_->close();
  answer_ = nullptr;
  co_return go_on;
}

bool Connection::gone(AccessRecord& record) {
  record.status = 499;
  record.complete = false;
  return false;
}

void Connection::start_handler(const Route& route, Request request) {
  auto wake = [weak = weak_from_this(), executor = socket_.get_executor()] {
    asio::post(executor, [weak] {
      if (auto self = weak.lock()) self->happened();
    });
  };
  answer_ = std::make_shared<Answer>(options_.stream_queue_bytes, wake);
  const bool quick = request.body.size() < route.quick_below;
  auto work = [&service = service_, &handler = route.handler, answer = answer_,
               shared = std::make_shared<Request>(std::move(request))] {
    const std::string id = shared->id;
    try {
      handler(std::move(*shared), Exchange(answer));
    } catch (const std::exception& error) {
      service.report(fmt::format("request {}: {}", id, error.what()));
      answer->abandon();
    }
  };
  if (quick) {
    work();
  } else {
    service_.run_on_worker(std::move(work));
  }
}

// What the handler says first; nullopt: the client did not wait for it.
asio::awaitable<std::optional<Answer::Output>> Connection::first_output() {
  for (;;) {
    Answer::Output output = answer_->take();
    if (output.head || output.broken) co_return std::move(output);
    if (ended_) co_return std::nullopt;
    start_read(kReadSize);
    co_await event(Clock::time_point::max());
  }
}

asio::awaitable<bool> Connection::send_whole(Response response, bool keep_alive, bool only_head,
                                             AccessRecord& record) {
  keep_alive = keep_alive && !service_.draining;
  for (const auto& [name, value] : common_) response.headers.add(name, value);
  record.status = response.status;
  std::string bytes = response_head(response, Framing::kLength, keep_alive);
  if (!only_head && response.status != 204 && response.status != 304) {
    record.bytes = response.body.size();
    bytes += response.body;
  }
  response.body = {};
  record.complete = co_await send(std::move(bytes));
  co_return keep_alive&& record.complete;
}

asio::awaitable<bool> Connection::send_stream(Answer::Output output, bool chunks, bool keep_alive,
                                              AccessRecord& record) {
  const Counted counted(service_.streams);
  Response& head = *output.head;
  for (const auto& [name, value] : common_) head.headers.add(name, value);
  const bool events = head.headers.get("Content-Type").starts_with("text/event-stream");
  keep_alive = keep_alive && chunks;
  record.status = head.status;
  record.complete = false;
  std::string bytes =
      response_head(head, chunks ? Framing::kChunks : Framing::kUntilClose, keep_alive);
  output.head.reset();
  for (;;) {
    record.bytes += output.bytes.size();
    append_chunk(bytes, output.bytes, chunks);
    if (output.complete && chunks) bytes += "0\r\n\r\n";
    if (!bytes.empty()) {
      const bool sent = co_await send(std::exchange(bytes, {}));
      if (!sent) co_return false;
    }
    if (output.complete) {
      record.complete = true;
      co_return keep_alive && !service_.draining;
    }
    const auto ping = events ? Clock::now() + options_.ping_interval : Clock::time_point::max();
    for (output = answer_->take(); output.bytes.empty() && !output.complete;
         output = answer_->take()) {
      if (output.broken || ended_) co_return false;
      start_read(kReadSize);
      if (!co_await event(ping)) {
        output.bytes = kPing;
        break;
      }
    }
  }
}

asio::awaitable<void> Connection::run() {
  set_up_socket();
  bool go_on = true;
  if (tls_) go_on = co_await handshake();
  const bool connected = go_on;
  while (go_on) go_on = co_await serve_one();
  if (connected) co_await farewell();
  abort();
}

}  // namespace

struct IoThread::State {
  explicit State(std::shared_ptr<Service> shared) : service(std::move(shared)) {}

  void serve(tcp::socket socket, ssl_st* tls) {
    auto connection = std::make_shared<Connection>(*service, std::move(socket), tls);
    connections.insert(connection);
    asio::co_spawn(
        context, [connection] { return connection->run(); },
        [this, connection](std::exception_ptr) {
          connection->abort();
          connections.erase(connection);
          --service->connections;
        });
  }

  std::shared_ptr<Service> service;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::unordered_set<std::shared_ptr<Connection>> connections;  // used by the thread alone
  bool stopping = false;                                        // likewise
  std::thread thread;
};

IoThread::IoThread(std::shared_ptr<Service> service)
    : state_(std::make_unique<State>(std::move(service))) {
  state_->thread = std::thread([state = state_.get()] { state->context.run(); });
}

IoThread::~IoThread() {
  stop();
}

void IoThread::adopt(int descriptor, ssl_st* tls) {
  ++state_->service->connections;
  asio::post(state_->context, [state = state_.get(), descriptor, tls] {
    tcp::socket socket(state->context);
    error_code ignored;
    socket.assign(tcp::v4(), descriptor, ignored);  // the family is read from the socket itself
    state->serve(std::move(socket), tls);
    if (state->stopping) std::ranges::for_each(state->connections, &Connection::abort);
  });
}

void IoThread::end_answers() {
  asio::post(state_->context, [state = state_.get()] {
    for (const auto& connection : state->connections) connection->end_answer();
  });
}

void IoThread::stop() {
  if (!state_->thread.joinable()) return;
  asio::post(state_->context, [state = state_.get()] {
    state->stopping = true;
    for (const auto& connection : state->connections) connection->abort();
    state->work.reset();
  });
  state_->thread.join();
}

}  // namespace millrace::http
