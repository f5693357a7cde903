// Clients that mean harm: each gets a clear refusal or a closed connection, others their answers.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/serve/http/raw_client.h"
#include "tests/serve/http/site.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

void expect_served(Site& site) {
  const auto start = Clock::now();
  EXPECT_EQ(RawClient(site.port()).ask(get("/hello")).body, "hello");
  EXPECT_LT(Clock::now() - start, milliseconds(2000));
}

TEST(Abuse, ALongBodyIsRefusedBeforeItComes) {
  Site site;
  const size_t length = size_t{100} << 20;
  RawClient announced(site.port());
  announced.send("POST /limited HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
                 std::to_string(length) + "\r\n\r\n");
  Reply reply = announced.reply();
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.headers.get("Connection"), "close");

  RawClient sent(site.port());  // as clients do that send first and read then
  sent.send(post("/limited", std::string(length / 4, 'x')));
  EXPECT_EQ(sent.reply().status, 413);

  RawClient chunked(site.port());
  reply = chunked.ask(
      "POST /limited HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "8\r\n12345678\r\n8\r\n");
  EXPECT_EQ(reply.status, 413);
  EXPECT_TRUE(chunked.closed());
  EXPECT_EQ(RawClient(site.port()).ask(post("/limited", "0123456789")).status, 200);
}

TEST(Abuse, BodiesOfAllClientsTogetherAreBounded) {
  ServerOptions options;
  options.max_body_memory = 1 << 20;
  Site site(options);
  std::vector<RawClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(site.port());
    clients.back().send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300001\r\n\r\n" +
                        std::string(300000, 'x'));
  }
  size_t refused = 0;
  EXPECT_TRUE(eventually([&] {
    refused = 0;
    for (const AccessRecord& record : site.log()) refused += record.status == 503 ? 1 : 0;
    return refused == 1;
  }));
  for (RawClient& client : clients) client.send("y");
  size_t served = 0;
  for (RawClient& client : clients) served += client.reply().status == 200 ? 1 : 0;
  EXPECT_EQ(served, 3u);
  EXPECT_EQ(RawClient(site.port()).ask(post("/echo", std::string(900000, 'x'))).status, 200)
      << "what was answered is given back";
}

TEST(Abuse, LargeHeadersAreRefused) {
  Site site;
  const std::string large(40000, 'a');
  EXPECT_EQ(RawClient(site.port()).ask(get("/hello", "X: " + large + "\r\n")).status, 431);
  EXPECT_EQ(RawClient(site.port()).ask(get("/" + large)).status, 414);
  EXPECT_EQ(RawClient(site.port())
                .ask(get("/hello", "Cookie: " + large.substr(0, 30000) + "\r\n"))
                .status,
            200);
}

TEST(Abuse, SmugglersAreRefusedAndCutOff) {
  Site site;
  for (const char* lines :
       {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "X: a\r\n Content-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 40\r\n", "Content-Length : 4\r\n",
        "Content-Length: 4\nX: y\r\n", "Transfer-Encoding: x\r\n"}) {
    RawClient client(site.port());
    client.send(std::string("POST /echo HTTP/1.1\r\nHost: localhost\r\n") + lines +
                "\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const Reply reply = client.reply();
    EXPECT_TRUE(reply.status == 400 || reply.status == 501) << lines;
    EXPECT_EQ(client.reply().status, 0) << "what follows is not a request: " << lines;
  }
}

ServerOptions impatient() {
  ServerOptions options;
  options.header_timeout = milliseconds(200);
  options.body_timeout = milliseconds(200);
  options.idle_timeout = milliseconds(200);
  return options;
}

TEST(Abuse, SlowHeadersAreCutOff) {
  Site site(impatient());
  RawClient client(site.port());
  const auto start = Clock::now();
  client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n");
  for (int i = 0; i < 20 && client.send("X: y\r\n"); ++i) {
    std::this_thread::sleep_for(milliseconds(30));  // each byte in time, the whole never
  }
  EXPECT_EQ(client.reply().status, 408);
  EXPECT_TRUE(client.closed());
  EXPECT_LT(Clock::now() - start, milliseconds(5000));
}

TEST(Abuse, SlowBodiesAreCutOff) {
  Site site(impatient());
  RawClient client(site.port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
  for (int i = 0; i < 20 && client.send("x"); ++i) {
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_EQ(client.reply().status, 408);
  EXPECT_TRUE(client.closed());
}

TEST(Abuse, IdleConnectionsAreClosed) {
  Site site(impatient());
  RawClient silent(site.port()), idle(site.port());
  idle.ask(get("/hello"));
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(idle.closed());
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
  EXPECT_EQ(site.log().size(), 1u) << "nothing was asked";
}

TEST(Abuse, AThousandSilentConnectionsDisturbNobody) {
  ServerOptions options = impatient();
  options.header_timeout = milliseconds(1500);
  Site site(options);
  std::vector<RawClient> silent;
  for (int i = 0; i < 1000; ++i) silent.emplace_back(site.port());
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() >= 900; }));
  expect_served(site);
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }))
      << site.server().open_connections();
}

TEST(Abuse, MoreConnectionsThanAllowedAreClosed) {
  ServerOptions options;
  options.max_connections = 3;
  Site site(options);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(site.port());
    EXPECT_EQ(clients.back().ask(get("/hello")).status, 200);
  }
  EXPECT_TRUE(RawClient(site.port()).closed());
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 2; }));
  expect_served(site);
}

TEST(Abuse, APipelinedFloodIsReadOnlyAsItIsAnswered) {
  ServerOptions options;
  options.write_deadline = milliseconds(300);
  Site site(options);
  RawClient flood(site.port());
  const timeval wait{1, 0};
  setsockopt(flood.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += get("/models/" + std::string(500, 'x'));
  size_t sent = 0;
  while (sent < (size_t{64} << 20) && flood.send(many)) sent += many.size();  // and reads nothing
  EXPECT_LT(sent, size_t{64} << 20);
  expect_served(site);
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
}

TEST(Abuse, WhatWaitsBehindARunningRequestIsBounded) {
  Site site;
  RawClient flood(site.port());
  const timeval wait{0, 300000};
  setsockopt(flood.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  flood.send(get("/hold"));
  const Exchange exchange = site.held();
  const std::string many(1 << 20, 'x');
  size_t sent = 0;
  while (sent < (size_t{64} << 20) && flood.send(many)) sent += many.size();
  EXPECT_LT(sent, size_t{64} << 20);
  exchange.respond({200, {}, "done"});
  EXPECT_EQ(flood.reply().body, "done");
  EXPECT_EQ(flood.reply().status, 414);
}

TEST(Abuse, TracesOfTlsAndOtherTonguesAreRefused) {
  Site site;
  using namespace std::string_view_literals;
  for (std::string_view bytes : {"\x16\x03\x01\x00\xa5\x01\x00\x00"sv, "\0\0\0\0"sv, "\n\n"sv,
                                 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"sv, "EHLO x\r\n\r\n"sv}) {
    RawClient client(site.port());
    client.send(bytes);
    EXPECT_GE(client.reply().status, 400);
    EXPECT_TRUE(client.closed());
  }
  expect_served(site);
}

TEST(Abuse, LinesCannotBeForgedInTheLog) {
  Site site;
  EXPECT_EQ(RawClient(site.port()).ask(get("/a%0d%0a%7b%7d")).status, 400);
  EXPECT_EQ(RawClient(site.port()).ask("GET /a\r{} HTTP/1.1\r\nHost: localhost\r\n\r\n").status,
            400);
  ASSERT_TRUE(eventually([&] { return site.log().size() == 2; }));
  for (const AccessRecord& record : site.log()) {
    EXPECT_EQ(to_log_line(record).find_first_of("\r\n"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace::http
