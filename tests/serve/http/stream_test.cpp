// Streams: events as they come, clients that go or do not read, and the server's own going.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/serve/http/raw_client.h"
#include "tests/serve/http/site.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

TEST(Stream, EventsArriveAsTheyAreWritten) {
  Site site;
  RawClient client(site.port());
  client.send(get("/stream"));
  const Exchange exchange = site.held();
  const std::string head = client.read_past("\r\n\r\n");
  EXPECT_NE(head.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(head.find("X-Accel-Buffering: no"), std::string::npos);
  EXPECT_EQ(site.server().open_streams(), 1u);
  EXPECT_TRUE(exchange.write("data: 1\n\n"));
  EXPECT_EQ(client.read_past("\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  EXPECT_TRUE(exchange.write("data: 2\n\n"));
  exchange.finish();
  EXPECT_EQ(client.read_past("0\r\n\r\n"), "9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(client.ask(get("/hello")).body, "hello") << "the connection goes on";
  ASSERT_TRUE(eventually([&] { return site.log().size() == 2; }));
  EXPECT_EQ(site.log()[0].bytes, 18u);
  EXPECT_TRUE(site.log()[0].complete);
  EXPECT_EQ(site.num_closed(), 0u);
}

TEST(Stream, HttpOnePointZeroGetsNoChunks) {
  Site site;
  RawClient client(site.port());
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  site.held().write("data: 1\n\n");
  site.held().finish();
  EXPECT_EQ(client.reply().body, "data: 1\n\n");
}

TEST(Stream, AQuietEventStreamIsPinged) {
  ServerOptions options;
  options.ping_interval = milliseconds(20);
  Site site(options);
  RawClient client(site.port());
  client.send(get("/stream"));
  client.read_past("\r\n\r\n");
  EXPECT_EQ(client.read_past("\n\n\r\n"), "8\r\n: ping\n\n\r\n");
  EXPECT_EQ(client.read_past("\n\n\r\n"), "8\r\n: ping\n\n\r\n");
}

class Leaving : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(Leaving, OfTheClientIsNoticedWithinASecond) {
  const auto [path, reset] = GetParam();
  Site site;
  RawClient client(site.port());
  client.send(get(path));
  const Exchange exchange = site.held();
  EXPECT_FALSE(exchange.closed());
  const auto start = Clock::now();
  client.close(reset);
  EXPECT_TRUE(eventually([&] { return site.num_closed() == 1; }));
  EXPECT_LT(Clock::now() - start, milliseconds(1000));
  EXPECT_TRUE(exchange.closed());
  EXPECT_FALSE(exchange.write("x"));
  ASSERT_TRUE(eventually([&] { return site.log().size() == 1; }));
  EXPECT_FALSE(site.log()[0].complete);
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
  EXPECT_EQ(site.server().requests_in_flight(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, Leaving,
                         testing::Combine(testing::Values("/stream", "/hold"), testing::Bool()));

/// A client that asks for the stream and then reads nothing, with a small window.
RawClient deaf_client(Site& site, const std::string& request) {
  RawClient client(site.port());
  const int small = 4096;
  setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  client.send(request);
  return client;
}

TEST(Stream, AReaderThatStandsStillIsDropped) {
  ServerOptions options;
  options.write_deadline = milliseconds(150);
  options.stream_queue_bytes = size_t{64} << 20;
  Site site(options);
  RawClient client = deaf_client(site, get("/stream"));
  const Exchange exchange = site.held();
  const std::string event(100000, 'x');
  for (int i = 0; i < 200; ++i) exchange.write(event);
  EXPECT_TRUE(eventually([&] { return site.num_closed() == 1; }));
  EXPECT_FALSE(exchange.write(event));
}

TEST(Stream, TheQueueOfASlowReaderIsBounded) {
  ServerOptions options;
  options.stream_queue_bytes = 1 << 20;
  Site site(options);
  RawClient client = deaf_client(site, get("/stream"));
  const Exchange exchange = site.held();
  const std::string event(10000, 'x');
  size_t written = 0;
  while (written < (size_t{64} << 20) && exchange.write(event)) written += event.size();
  EXPECT_LT(written, size_t{32} << 20) << "the queue, and what the system holds";
  EXPECT_TRUE(exchange.closed());
  EXPECT_TRUE(eventually([&] { return site.num_closed() == 1; }));

  RawClient other(site.port());
  EXPECT_EQ(other.ask(get("/hello")).body, "hello") << "others are not disturbed";
}

TEST(Stream, ALargeAnswerIsForReadersThatMove) {
  ServerOptions options;
  options.write_deadline = milliseconds(150);
  Site site(options);
  RawClient deaf = deaf_client(site, get("/hold"));
  site.held().respond({200, {}, std::string(size_t{32} << 20, 'x')});
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
}

TEST(Stream, AForgottenStreamBreaksOff) {
  Site site;
  RawClient client(site.port());
  client.send(get("/stream"));
  site.held().write("data: 1\n\n");
  site.forget();
  client.read_past("data: 1\n\n\r\n");
  EXPECT_TRUE(client.closed()) << "without the last chunk: the client sees that it is not whole";
}

TEST(Stream, ExchangesMayOutliveTheServer) {
  std::optional<Exchange> exchange;
  {
    Site site;
    RawClient client(site.port());
    client.send(get("/stream"));
    exchange = site.held();
  }
  EXPECT_TRUE(exchange->closed());
  EXPECT_FALSE(exchange->write("x"));
  exchange->finish();
}

TEST(Stream, ManyWritersAndLeaversAtOnce) {
  ServerOptions options;
  options.io_threads = 2;
  options.worker_threads = 4;
  Site site(options);
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([&] {
      while (!stop) {
        const size_t count = site.count();
        for (size_t i = 0; i < count; ++i) {
          site.held(i).write("data: x\n\n");
          if (i % 3 == 0) site.held(i).finish();
        }
        std::this_thread::sleep_for(milliseconds(1));
      }
    });
  }
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 15; ++i) {
        RawClient client(site.port());
        client.send(get("/stream"));
        EXPECT_NE(client.read_past("data: x\n\n").find("data: x"), std::string::npos);
        client.close(c % 2 == 0);
      }
    });
  }
  for (std::thread& thread : clients) thread.join();
  stop = true;
  for (std::thread& thread : writers) thread.join();
  EXPECT_TRUE(eventually([&] { return site.server().open_connections() == 0; }));
  EXPECT_EQ(site.server().open_streams(), 0u);
}

TEST(Drain, RunningAnswersFinishAndNewOnesAreRefused) {
  Site site;
  RawClient stream(site.port()), whole(site.port()), idle(site.port());
  idle.ask(get("/hello"));
  stream.send(get("/stream"));
  site.held(0);
  whole.send(get("/hold"));
  site.held(1);
  std::thread draining([&] {
    EXPECT_TRUE(site.server().drain(Clock::now() + std::chrono::seconds(10)));
  });
  RawClient late(site.port());
  EXPECT_TRUE(eventually([&] {
    const Reply reply = RawClient(site.port()).ask(get("/hello"));
    return reply.status == 503 && reply.headers.has("Retry-After");
  }));
  EXPECT_EQ(late.ask(get("/health")).status, 200) << "open routes still answer";
  EXPECT_EQ(idle.ask(get("/hello")).status, 503);
  EXPECT_TRUE(idle.closed());
  site.held(0).write("data: 1\n\n");
  site.held(0).finish();
  site.held(1).respond({200, {}, "whole"});
  EXPECT_EQ(stream.reply().body, "data: 1\n\n");
  EXPECT_EQ(whole.reply().body, "whole");
  draining.join();
}

TEST(Drain, WhatStillRunsAtTheDeadlineIsEnded) {
  Site site;
  RawClient stream(site.port()), whole(site.port());
  stream.send(get("/stream"));
  whole.send(get("/hold"));
  site.held(1);
  for (size_t i : {0, 1}) site.held(i).write("data: 1\n\n");
  EXPECT_FALSE(site.server().drain(Clock::now() + milliseconds(50)));
  site.server().end_answers();
  EXPECT_EQ(whole.reply().status, 503);
  EXPECT_TRUE(stream.closed());
  EXPECT_EQ(site.num_closed(), 2u);
}

TEST(Drain, AfterStopAcceptingNobodyConnects) {
  Site site;
  RawClient running(site.port());
  running.send(get("/hold"));
  const Exchange exchange = site.held();
  site.server().stop_accepting();
  EXPECT_TRUE(eventually([&] {
    try {
      RawClient client(site.port());
      return false;
    } catch (const Error&) {
      return true;
    }
  }));
  exchange.respond({200, {}, "still"});
  EXPECT_EQ(running.reply().body, "still");
  EXPECT_TRUE(site.server().drain(Clock::now() + milliseconds(1000)));
}

}  // namespace
}  // namespace millrace::http
