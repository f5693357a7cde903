// serve_load: puts load on a server that speaks OpenAI's API, Millrace's or another, and tells what
// came of it: tokens a second, the time to the first token, the time between tokens. One thread, so
// that it takes little from a server on the same machine.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "bench/load/connection.h"
#include "bench/load/requests.h"
#include "millrace/base/error.h"
#include "millrace/base/json.h"

namespace millrace::load {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string url = "http://127.0.0.1:8080";
  int64_t streams = 1;
  double rate = 0;
  int64_t requests = 0;
  double seconds = 0;
  double kill = 0;
  int64_t pid = 0;
  uint64_t seed = 1;
  bool json = false;
  RequestOptions request;
};

/// What was seen; times in seconds.
struct Seen {
  std::vector<double> first_token, gaps, whole;
  int64_t completed = 0, killed = 0, broken = 0;
  std::map<int, int64_t> statuses;
  int64_t prompt_tokens = 0, tokens = 0, pieces = 0;
  double overload_wait = 0;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Resident memory of a process in MB; 0 when there is none such.
double resident_mb(int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return static_cast<double>(resident * ::sysconf(_SC_PAGESIZE)) / 1e6;
}

double percentile(std::vector<double> values, double part) {
  if (values.empty()) return std::nan("");
  const auto at = static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

/// One user: asks, reads, asks again.
class User {
 public:
  User(const Target& target, Seen& seen)
      : connection(target, [this](std::string_view line) { read(line); }), seen_(seen) {}

  void ask(std::string request, std::optional<Clock::time_point> kill_at) {
    begun_ = Clock::now();
    last_piece_.reset();
    kill_at_ = kill_at;
    connection.start(std::move(request));
  }

  void finish() {
    ++seen_.completed;
    ++seen_.statuses[connection.status()];
    seen_.whole.push_back(seconds_since(begun_));
  }

  bool is_to_be_killed() const { return kill_at_ && Clock::now() >= *kill_at_; }

  Connection connection;
  uint32_t watched = 0;  // what epoll was told to watch for

 private:
  /// Looks at a line of a stream without parsing it all: this must cost little.
  void read(std::string_view line) {
    if (!line.starts_with("data: {")) return;
    if (const size_t usage = line.find("\"usage\":{"); usage != std::string_view::npos) {
      seen_.tokens += number_after(line.substr(usage), "\"completion_tokens\":");
      seen_.prompt_tokens += number_after(line.substr(usage), "\"prompt_tokens\":");
    }
    const size_t content = line.find("\"content\":\"");
    if (content == std::string_view::npos || line.substr(content + 11).starts_with("\"")) return;
    const Clock::time_point now = Clock::now();
    const double since = std::chrono::duration<double>(now - last_piece_.value_or(begun_)).count();
    (last_piece_ ? seen_.gaps : seen_.first_token).push_back(since);
    last_piece_ = now;
    ++seen_.pieces;
  }

  static int64_t number_after(std::string_view text, std::string_view name) {
    const size_t at = text.find(name);
    return at == std::string_view::npos ? 0 : std::atoll(text.data() + at + name.size());
  }

  Seen& seen_;
  Clock::time_point begun_;
  std::optional<Clock::time_point> last_piece_, kill_at_;
};

/// "http://HOST:PORT".
Target target_of(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  require(url.starts_with(kScheme), "--url: must begin with {}", kScheme);
  std::string host = url.substr(kScheme.size());
  host = host.substr(0, host.find('/'));
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos) return {host, 80};
  return {host.substr(0, colon), std::atoi(host.c_str() + colon + 1)};
}

/// The name of the first model that the server has.
std::string first_model(const Target& target, const RequestOptions& options) {
  std::string body;
  Connection connection(target, [&](std::string_view line) { body += line; });
  connection.start(get_request(options, "/v1/models"));
  while (connection.advance() == Connection::State::busy) ::usleep(1000);
  const Json models = Json::parse(body, nullptr, false);
  require(connection.status() == 200 && models.is_object() && models.contains("data") &&
              !models["data"].empty(),
          "{}:{}: tells of no models at /v1/models; give --model", target.host, target.port);
  return models["data"][0].at("id").get<std::string>();
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), target_(target_of(options.url)), random_(options.seed) {
    RequestOptions& request = options_.request;
    request.host = fmt::format("{}:{}", target_.host, target_.port);
    if (request.model.empty()) request.model = first_model(target_, request);
    poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  }
  ~Load() { ::close(poll_); }

  Seen run() {
    begun_ = Clock::now();
    next_arrival_ = begun_;
    if (options_.rate <= 0) {
      for (int64_t i = 0; i < options_.streams && may_start(); ++i) begin(add_user());
    }
    Clock::time_point told = begun_;
    while (busy_ > 0 || may_start()) {
      require(seen_.broken <= 1000 + seen_.completed, "{}: breaks off most connections",
              options_.url);
      begin_again();
      arrive();
      wait();
      kill();
      if (options_.pid > 0 && !options_.json && seconds_since(told) >= 10) {
        told = Clock::now();
        std::fprintf(stderr, "%5.0f s: %lld answered, %lld killed, %.1f MB\n",
                     seconds_since(begun_), static_cast<long long>(seen_.completed),
                     static_cast<long long>(seen_.killed), resident_mb(options_.pid));
      }
    }
    return std::move(seen_);
  }

 private:
  bool may_start() const {
    if (options_.seconds > 0 && seconds_since(begun_) >= options_.seconds) return false;
    return options_.requests == 0 || started_ < options_.requests;
  }

  User& add_user() {
    users_.push_back(std::make_unique<User>(target_, seen_));
    return *users_.back();
  }

  void begin(User& user) {
    ++started_;
    ++busy_;
    std::optional<Clock::time_point> kill_at;
    std::uniform_real_distribution<double> chance(0, 1);
    if (chance(random_) < options_.kill) {
      kill_at =
          Clock::now() + std::chrono::microseconds(static_cast<int64_t>(chance(random_) * 3e5));
    }
    user.ask(next_request(options_.request, random_), kill_at);
    go_on(user);
  }

  /// The open loop: requests come when they come, however many are under way.
  void arrive() {
    if (options_.rate <= 0) return;
    while (may_start() && Clock::now() >= next_arrival_) {
      std::exponential_distribution<double> gap(options_.rate);
      next_arrival_ += std::chrono::microseconds(static_cast<int64_t>(gap(random_) * 1e6));
      auto idle = std::find_if(users_.begin(), users_.end(), [](const auto& user) {
        return user->connection.state() == Connection::State::idle;
      });
      begin(idle == users_.end() ? add_user() : **idle);
    }
  }

  void wait() {
    int milliseconds = options_.kill > 0 ? 20 : 1000;
    if (!free_.empty() && may_start()) milliseconds = 0;
    if (options_.rate > 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_arrival_ - Clock::now());
      milliseconds = std::clamp(static_cast<int>(left.count()), 0, milliseconds);
    }
    epoll_event events[256];
    const int count = ::epoll_wait(poll_, events, 256, milliseconds);
    for (int i = 0; i < count; ++i) go_on(*static_cast<User*>(events[i].data.ptr));
  }

  void go_on(User& user) {
    using State = Connection::State;
    Connection& connection = user.connection;
    const State state = connection.advance();
    if (state == State::busy) return watch(user);
    if (state == State::done) {
      user.finish();
      if (connection.status() == 429) return pause(user);
      connection.reset();
      if (connection.socket() < 0) user.watched = 0;
    } else if (state == State::refused) {
      user.watched = 0;
      if (connection.retry()) return go_on(user);
      ++seen_.broken;
    } else {
      return;
    }
    next(user);
  }

  void next(User& user) {
    --busy_;
    if (options_.rate <= 0) free_.push_back(&user);
  }

  /// The closed loop: who got an answer asks again.
  void begin_again() {
    for (size_t left = free_.size(); left > 0 && may_start(); --left) {
      User& user = *free_.front();
      free_.pop_front();
      begin(user);
    }
  }

  /// A server that is full is not asked again at once.
  void pause(User& user) {
    ::usleep(1000);
    user.connection.reset();
    if (user.connection.socket() < 0) user.watched = 0;
    next(user);
  }

  void kill() {
    if (options_.kill <= 0) return;
    for (const auto& user : users_) {
      if (user->connection.state() != Connection::State::busy || !user->is_to_be_killed()) continue;
      ++seen_.killed;
      user->connection.close();
      user->watched = 0;
      next(*user);
    }
  }

  void watch(User& user) {
    const uint32_t wanted = EPOLLIN | (user.connection.wants_to_write() ? EPOLLOUT : 0u);
    if (wanted == user.watched) return;
    epoll_event event{};
    event.events = wanted;
    event.data.ptr = &user;
    ::epoll_ctl(poll_, user.watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, user.connection.socket(),
                &event);
    user.watched = wanted;
  }

  Options options_;
  Target target_;
  Random random_;
  int poll_ = -1;
  Seen seen_;
  std::vector<std::unique_ptr<User>> users_;
  std::deque<User*> free_;  // of the closed loop
  Clock::time_point begun_, next_arrival_;
  int64_t started_ = 0, busy_ = 0;
};

Json summary(const Seen& seen, double seconds) {
  auto milliseconds = [](const std::vector<double>& values, double part) {
    return std::round(percentile(values, part) * 1e6) / 1e3;
  };
  Json statuses = Json::object();
  for (const auto& [status, count] : seen.statuses) statuses[std::to_string(status)] = count;
  return {{"seconds", seconds},
          {"answered", seen.completed},
          {"killed", seen.killed},
          {"broken", seen.broken},
          {"statuses", std::move(statuses)},
          {"requests_per_second", static_cast<double>(seen.completed) / seconds},
          {"prompt_tokens", seen.prompt_tokens},
          {"tokens", seen.tokens},
          {"tokens_per_second", static_cast<double>(seen.tokens) / seconds},
          {"pieces", seen.pieces},
          {"first_token_ms_p50", milliseconds(seen.first_token, 0.5)},
          {"first_token_ms_p99", milliseconds(seen.first_token, 0.99)},
          {"between_tokens_ms_p50", milliseconds(seen.gaps, 0.5)},
          {"between_tokens_ms_p99", milliseconds(seen.gaps, 0.99)},
          {"request_ms_p50", milliseconds(seen.whole, 0.5)},
          {"request_ms_p99", milliseconds(seen.whole, 0.99)}};
}

void parse(CLI::App& app, Options& options) {
  RequestOptions& request = options.request;
  app.add_option("--url", options.url, "The server")->capture_default_str();
  app.add_option("--model", request.model, "The model to ask; none: the server's first");
  app.add_option("--key", request.key, "The key to send");
  app.add_option("--streams", options.streams, "Requests at a time, each followed by another")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_option("--rate", options.rate,
                 "Requests a second instead, at random moments, however many are under way");
  app.add_option("--requests", options.requests, "Stop after so many");
  app.add_option("--seconds", options.seconds, "Start none after so many seconds");
  app.add_option("--prompt", request.prompt_words, "Words of a prompt")->capture_default_str();
  app.add_option("--tokens", request.max_tokens, "Tokens of an answer")->capture_default_str();
  app.add_flag("--same-prompt", request.same_prompt, "One prompt for all requests");
  app.add_flag("--mixed", request.mixed, "Requests of all kinds and lengths, to Millrace only");
  app.add_option("--kill", options.kill, "Part of the requests that leave before their answer")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--pid", options.pid, "The server's process, whose memory is told");
  app.add_option("--seed", options.seed, "Of lengths, words and kills")->capture_default_str();
  app.add_flag("--json", options.json, "One JSON object");
}

void raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(Options options) {
  if (options.requests == 0 && options.seconds == 0) options.requests = options.streams * 4;
  raise_file_limit();
  const double before = resident_mb(options.pid);
  const auto begun = Clock::now();
  const Seen seen = Load(options).run();
  Json result = summary(seen, seconds_since(begun));
  if (options.pid > 0) {
    result["memory_mb_before"] = before;
    result["memory_mb_after"] = resident_mb(options.pid);
  }
  if (options.json) {
    std::cout << to_json_text(result) << "\n";
  } else {
    for (const auto& [name, value] : result.items()) {
      std::cout << fmt::format("{:24} {}\n", name,
                               value.is_number_float() ? fmt::format("{:.3f}", value.get<double>())
                                                       : to_json_text(value));
    }
  }
  const bool failed = std::any_of(seen.statuses.begin(), seen.statuses.end(),
                                  [](const auto& entry) { return entry.first >= 500; });
  return seen.completed > 0 && seen.broken == 0 && !failed ? 0 : 1;
}

}  // namespace
}  // namespace millrace::load

int main(int argc, char** argv) {
  CLI::App app("Puts load on a server that speaks OpenAI's API.", "serve_load");
  millrace::load::Options options;
  millrace::load::parse(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    return millrace::load::run(std::move(options));
  } catch (const millrace::Error& error) {
    std::cerr << "serve_load: " << error.what() << "\n";
    return 1;
  }
}
