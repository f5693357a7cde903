// More work than the engine can take at once: fair shares, a bounded queue, deadlines, clients that
// leave, and the end of the service.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "tests/load/answers.h"

namespace millrace {
namespace {

const HttpHeaders kJson = {{"Content-Type", "application/json"}};

/// Takes the engine a while, whatever the machine.
std::string endless_chat(bool stream) {
  return long_chat(1900, stream, 32);
}

void begin_chat(HttpClient& client, const std::string& body) {
  client.send("POST", "/v1/chat/completions", kJson, body);
}

TEST(Crowd, OneClientsThousandDoNotStarveAnothersOne) {
  constexpr int kMany = 200;
  TinyService service("max-sequences=4 api-key=greedy api-key=modest");
  const HttpHeaders greedy = {{"Authorization", "Bearer greedy"}};
  const HttpHeaders modest = {{"Authorization", "Bearer modest"}};
  std::deque<HttpClient> crowd;
  for (int i = 0; i < kMany; ++i) {
    crowd.emplace_back(service.port());
    crowd.back().send("POST", "/v1/chat/completions", greedy, long_chat(400, false, 1, "hi", i));
  }
  ASSERT_TRUE(eventually(
      [&] { return metric(service.port(), "millrace_pending_sequences", modest) > kMany / 2; }));
  const auto finished = [&] {
    return metric(service.port(), "millrace_sequences_finished_total{reason=\"length\"}", modest);
  };
  const double before = finished();
  EXPECT_EQ(
      HttpClient(service.port()).post("/v1/chat/completions", long_chat(400, false), modest).status,
      200);
  // Those that ran already, and those that took turns with it, but not all that came before it.
  EXPECT_LT(finished() - before, kMany / 4);
  for (HttpClient& client : crowd) EXPECT_EQ(client.answer().status, 200);
}

TEST(Crowd, IsToldToComeBackWhenTheQueueIsFull) {
  TinyService service("max-sequences=1 max-queue=31");
  HttpClient first(service.port());
  begin_chat(first, endless_chat(true));
  first.head();
  const HttpAnswer refused =
      HttpClient(service.port()).post("/v1/chat/completions", long_chat(1, false));
  EXPECT_EQ(refused.status, 429);
  const int wait = std::atoi(refused.header("retry-after").value_or("0").c_str());
  EXPECT_GE(wait, 1);
  EXPECT_LE(wait, 60);
  const Json error = Json::parse(refused.body).at("error");
  EXPECT_EQ(error.at("type"), "rate_limit_error");
  EXPECT_EQ(error.at("code"), "rate_limit_exceeded");
  // In the words of the other APIs too.
  const HttpAnswer anthropic = HttpClient(service.port()).post("/v1/messages", long_chat(1, false));
  EXPECT_EQ(anthropic.status, 429);
  EXPECT_EQ(Json::parse(anthropic.body).at("error").at("type"), "rate_limit_error");
  first.close();
  EXPECT_TRUE(
      eventually([&] { return metric(service.port(), "millrace_pending_sequences") == 0; }));
  EXPECT_EQ(HttpClient(service.port()).post("/v1/chat/completions", long_chat(1, false)).status,
            200);
}

TEST(Crowd, CostsNothingOnceItHasLeft) {
  TinyService service;
  const std::string cancelled = "millrace_sequences_finished_total{reason=\"cancelled\"}";
  {
    HttpClient streaming(service.port()), waiting(service.port());
    begin_chat(streaming, endless_chat(true));
    streaming.head();
    begin_chat(waiting, endless_chat(false));
    ASSERT_TRUE(
        eventually([&] { return metric(service.port(), "millrace_pending_sequences") == 64; }));
  }
  EXPECT_TRUE(eventually([&] { return metric(service.port(), cancelled) == 64; }))
      << HttpClient(service.port()).ask("GET", "/metrics").body;
  EXPECT_EQ(metric(service.port(), "millrace_sequences_running{model=\"tiny\"}"), 0);
  EXPECT_EQ(metric(service.port(), "millrace_sequences_waiting{model=\"tiny\"}"), 0);
  EXPECT_EQ(metric(service.port(), "millrace_pending_sequences"), 0);
}

TEST(Crowd, GetsATimeoutAtTheDeadline) {
  TinyService service("request-timeout=0.05");
  const HttpAnswer whole =
      HttpClient(service.port()).post("/v1/chat/completions", endless_chat(false));
  EXPECT_EQ(whole.status, 504) << whole.body;
  EXPECT_EQ(Json::parse(whole.body).at("error").at("code"), "timeout");

  HttpClient client(service.port());
  begin_chat(client, endless_chat(true));
  EXPECT_EQ(client.head().status, 200);
  std::string last;
  while (auto event = client.next_event()) last = *event;
  EXPECT_TRUE(client.complete());
  ASSERT_TRUE(last.starts_with("data: ")) << last;
  EXPECT_EQ(Json::parse(last.substr(6)).at("error").at("code"), "timeout");
}

TEST(Drain, FinishesRunningStreamsAndRefusesNewOnes) {
  TinyService service;
  HttpClient running(service.port());
  begin_chat(running, endless_chat(true));
  EXPECT_EQ(running.head().status, 200);
  std::atomic<bool> whole = false;
  std::thread ending([&] { whole = service.drain(); });
  // The one connection that is there already is told; new ones may not even be taken.
  const bool refused = eventually([&] {
    try {
      const HttpAnswer answer =
          HttpClient(service.port()).post("/v1/chat/completions", long_chat(1, false));
      return answer.status == 503 && Json::parse(answer.body).contains("error");
    } catch (const Error&) {
      return true;
    }
  });
  EXPECT_TRUE(refused);
  std::string last;
  while (auto event = running.next_event()) last = *event;
  EXPECT_EQ(last, "data: [DONE]");
  EXPECT_TRUE(running.complete());
  ending.join();
  EXPECT_TRUE(whole);
}

TEST(Drain, EndsStreamsWithAnErrorAtItsDeadline) {
  TinyService service("drain-timeout=0.05");
  HttpClient running(service.port()), waiting(service.port()), ollama(service.port());
  begin_chat(running, endless_chat(true));
  EXPECT_EQ(running.head().status, 200);
  begin_chat(waiting, endless_chat(false));
  ollama.send("POST", "/api/generate", kJson,
              R"({"model": "tiny", "prompt": "hi", "options": {"num_predict": 1900},
                  "format": {"type": "array", "minItems": 1000, "items": {"type": "boolean"}}})");
  EXPECT_EQ(ollama.head().status, 200);
  ASSERT_TRUE(
      eventually([&] { return metric(service.port(), "millrace_pending_sequences") == 65; }));
  EXPECT_FALSE(service.drain());
  std::string last;
  while (auto event = running.next_event()) last = *event;
  ASSERT_TRUE(last.starts_with("data: ")) << last;
  EXPECT_TRUE(Json::parse(last.substr(6)).contains("error"));
  while (auto line = ollama.next_event("\n")) last = *line;
  EXPECT_TRUE(Json::parse(last).contains("error")) << last;  // as Ollama says it
  EXPECT_EQ(waiting.answer().status, 503);
}

}  // namespace
}  // namespace millrace
