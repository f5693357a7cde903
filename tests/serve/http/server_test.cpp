// Requests and answers over real sockets, as well-behaved clients send them.
#include "millrace/serve/http/server.h"

#include <gtest/gtest.h>

#include "millrace/base/json.h"
#include "tests/serve/http/raw_client.h"
#include "tests/serve/http/site.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;

TEST(Server, AnswersManyRequestsOnOneConnection) {
  Site site;
  RawClient client(site.port());
  for (int i = 0; i < 3; ++i) {
    const Reply reply = client.ask(get("/hello"));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "hello");
    EXPECT_EQ(reply.headers.get("Content-Type"), "text/plain");
    EXPECT_EQ(reply.headers.get("Connection"), "keep-alive");
    EXPECT_TRUE(reply.headers.get("Date").ends_with(" GMT"));
  }
  EXPECT_EQ(client.ask(post("/echo", "body")).body, "body");
  EXPECT_EQ(site.server().open_connections(), 1u);
}

TEST(Server, ClosesWhereTheClientAsks) {
  Site site;
  RawClient client(site.port());
  EXPECT_EQ(client.ask(get("/hello", "Connection: close\r\n")).headers.get("Connection"), "close");
  EXPECT_TRUE(client.closed());
  RawClient old(site.port());
  EXPECT_EQ(old.ask("GET /hello HTTP/1.0\r\n\r\n").body, "hello");
  EXPECT_TRUE(old.closed());
}

TEST(Server, PipelinedRequestsAreAnsweredInOrder) {
  Site site;
  RawClient client(site.port());
  std::string all;
  for (int i = 0; i < 300; ++i) all += post("/echo", std::to_string(i));
  client.send(all);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(client.reply().body, std::to_string(i));
}

TEST(Server, BodiesComeInPiecesAndChunks) {
  Site site;
  RawClient client(site.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab");
  std::this_thread::sleep_for(milliseconds(20));
  client.send("cd\r\n2\r\nef\r\n0\r\n\r\n");
  EXPECT_EQ(client.reply().body, "abcdef");
  const std::string large(size_t{8} << 20, 'x');
  EXPECT_TRUE(client.ask(post("/echo", large)).body == large);
}

TEST(Server, AsksForABodyThatWaitsForThat) {
  Site site;
  RawClient client(site.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(client.read_past("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.ask("ok").body, "ok");
  client.send(
      "POST /limited HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.reply().status, 413) << "without asking for it";
}

TEST(Server, HeadHasNoBody) {
  Site site;
  RawClient client(site.port());
  const Reply reply = client.ask("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.get("Content-Length"), "5");
  EXPECT_EQ(client.ask("HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 404);
  EXPECT_EQ(client.ask("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
  EXPECT_EQ(client.ask(get("/hello")).body, "hello") << "nothing was left over";
  EXPECT_FALSE(site.held().write("x"));
}

TEST(Server, UnknownPathsAndMethodsAreNamed) {
  Site site;
  RawClient client(site.port());
  EXPECT_EQ(client.ask(get("/nowhere")).status, 404);
  const Reply reply = client.ask("DELETE /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.get("Allow"), "GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(client.ask("BREW /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 405);
  EXPECT_EQ(client.ask(get("/hello")).status, 200);
}

TEST(Server, PathParametersKeepTheirSlashes) {
  Site site;
  RawClient client(site.port());
  EXPECT_EQ(client.ask(get("/models/org/name")).body, "org/name");
  EXPECT_EQ(client.ask(get("/models/org%2Fname%3Aadapter")).body, "org/name:adapter");
  EXPECT_EQ(client.ask(get("/models/..%2f..%2fetc/passwd")).status, 400);
}

TEST(Server, OptionsSayWhatAPathTakes) {
  Site site;
  RawClient client(site.port());
  const Reply reply = client.ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.headers.get("Allow"), "GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(client.ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 204);
  EXPECT_EQ(client.ask("OPTIONS /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 404);
}

TEST(Server, WebPagesThatMayCallGetLeaveInAdvance) {
  ServerOptions options;
  options.cors_origins = {"https://chat.example"};
  options.authorise = [](Request& request) -> std::optional<Response> {
    if (request.headers.get("Authorization") == "Bearer key") return std::nullopt;
    return Response{401, {}, ""};
  };
  Site site(options);
  RawClient client(site.port());
  const std::string origin = "Origin: https://chat.example\r\n";
  Reply reply = client.ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\n" + origin +
                           "Access-Control-Request-Method: POST\r\n"
                           "Access-Control-Request-Headers: authorization, x-other\r\n\r\n");
  EXPECT_EQ(reply.status, 204) << "a preflight has no key";
  EXPECT_EQ(reply.headers.get("Access-Control-Allow-Origin"), "https://chat.example");
  EXPECT_EQ(reply.headers.get("Access-Control-Allow-Headers"), "authorization, x-other");
  EXPECT_NE(reply.headers.get("Access-Control-Allow-Methods").find("POST"), std::string::npos);
  EXPECT_FALSE(reply.headers.has("Access-Control-Allow-Credentials"));
  EXPECT_EQ(reply.headers.get("Vary"), "Origin");

  reply = client.ask(post("/echo", "x", origin + "Authorization: Bearer key\r\n"));
  EXPECT_EQ(reply.body, "x");
  EXPECT_EQ(reply.headers.get("Access-Control-Allow-Origin"), "https://chat.example");
  EXPECT_EQ(client.ask(get("/echo", origin)).headers.get("Access-Control-Allow-Origin"),
            "https://chat.example")
      << "a page may read why it was refused";

  reply = client.ask(get("/echo", "Origin: https://evil.example\r\nAuthorization: Bearer key\r\n"));
  EXPECT_EQ(reply.status, 403);
  EXPECT_FALSE(reply.headers.has("Access-Control-Allow-Origin"));
}

TEST(Server, NamesThatWereReboundToItAreNotAnswered) {
  ServerOptions options;
  options.allowed_hosts = {"chat.example"};
  Site site(options);
  RawClient client(site.port());
  auto with_host = [](const std::string& host) {
    return "GET /hello HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
  };
  EXPECT_EQ(client.ask(with_host("evil.example")).status, 403);
  EXPECT_EQ(client.ask(with_host("")).status, 403);
  EXPECT_EQ(client.ask(with_host("chat.example:8080")).status, 200);
  EXPECT_EQ(client.ask("GET http://evil.example/hello HTTP/1.1\r\nHost: localhost\r\n\r\n").status,
            403);
}

TEST(Server, RoutesWithoutTheKeyAreClosedButForTheOpenOnes) {
  ServerOptions options;
  std::atomic<int> bodies = 0;
  options.authorise = [&](Request& request) -> std::optional<Response> {
    bodies += request.body.empty() ? 0 : 1;
    request.client = request.headers.get("x-who");
    if (!request.client.empty()) return std::nullopt;
    return Response{401, {{"WWW-Authenticate", "Bearer"}}, "no key"};
  };
  Site site(options);
  for (const Route& route : site.server().router().routes()) {
    RawClient client(site.port());
    const Reply reply = client.ask(route.method + " " + route.pattern +
                                   " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(reply.status, route.open ? 200 : 401) << route.pattern;
  }
  RawClient client(site.port());
  EXPECT_EQ(client.ask(post("/echo", "x", "X-Who: me\r\n")).status, 200);
  EXPECT_EQ(site.last_request().client, "me");
  EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n")
                .status,
            401)
      << "before the body";
  EXPECT_EQ(bodies, 0);
}

TEST(Server, AHandlerSeesTheRequest) {
  Site site;
  RawClient client(site.port());
  client.ask(get("/echo?a=1", "X-Request-Id: mine-1\r\n"));
  const Request request = site.last_request();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/echo");
  EXPECT_EQ(request.route, "/echo");
  EXPECT_EQ(request.query.at("a"), "1");
  EXPECT_EQ(request.id, "mine-1");
  EXPECT_EQ(request.remote_address, "127.0.0.1");
  EXPECT_FALSE(request.secure);
}

TEST(Server, RequestsHaveIds) {
  Site site;
  RawClient client(site.port());
  EXPECT_EQ(client.ask(get("/hello", "X-Request-Id: mine\r\n")).headers.get("x-request-id"),
            "mine");
  EXPECT_TRUE(client.ask(get("/hello")).headers.get("x-request-id").starts_with("req_"));
  EXPECT_TRUE(client.ask(get("/hello", "X-Request-Id: a b\r\n"))
                  .headers.get("x-request-id")
                  .starts_with("req_"));
  EXPECT_TRUE(client.ask("nonsense\r\n\r\n").headers.get("x-request-id").starts_with("req_"));
}

TEST(Server, AFailingHandlerIsA500WithoutDetails) {
  Site site;
  RawClient client(site.port());
  Reply reply = client.ask(get("/throw"));
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  ASSERT_EQ(site.problems().size(), 1u);
  EXPECT_NE(site.problems()[0].find("secret"), std::string::npos);
  EXPECT_EQ(client.ask(get("/drop")).status, 500) << "nobody is left to answer";
  EXPECT_EQ(client.ask(get("/hello")).status, 200);
}

TEST(Server, QuickHandlersRunOnTheIoThread) {
  ServerOptions options;
  options.worker_threads = 1;
  Site site(options);
  RawClient client(site.port());
  const std::string io_thread = client.ask(post("/quick", "short")).body;  // its errno's address
  EXPECT_EQ(client.ask(post("/quick", "short")).body, io_thread);
  EXPECT_NE(client.ask(post("/quick", "longer than that")).body, io_thread);
  EXPECT_EQ(client.ask(post("/quick", "throw")).status, 500);
}

TEST(Server, TheServersOwnAnswersHaveTheShapeOfTheApi) {
  ServerOptions options;
  options.error_response = [](int status, std::string_view message) {
    return Response{status, {{"Content-Type", "application/x"}}, "<" + std::string(message) + ">"};
  };
  Site site(options);
  for (const std::string& request :
       {get("/nowhere"), get("/drop"), post("/limited", "0123456789a"), std::string("x\r\n\r\n")}) {
    RawClient client(site.port());
    const Reply reply = client.ask(request);
    EXPECT_GE(reply.status, 400);
    EXPECT_EQ(reply.headers.get("Content-Type"), "application/x");
    EXPECT_TRUE(reply.body.starts_with("<")) << reply.body;
  }
}

TEST(Server, HandlersCannotEndALine) {
  ServerOptions options;
  options.authorise = [](Request&) -> std::optional<Response> {
    return Response{429, {{"X-Note", "a\r\nSet-Cookie: b"}, {"Bad\nName", "c"}}, ""};
  };
  Site site(options);
  RawClient client(site.port());
  const Reply reply = client.ask(get("/hello"));
  EXPECT_EQ(reply.headers.get("X-Note"), "a  Set-Cookie: b");
  EXPECT_FALSE(reply.headers.has("Set-Cookie"));
  EXPECT_EQ(reply.headers.get("Content-Length"), "0");
}

TEST(Server, EachRequestIsALineOfTheLog) {
  Site site;
  RawClient client(site.port());
  client.ask(post("/echo?key=secret", "four", "X-Request-Id: mine\r\n"));
  client.ask(get("/models/%22%C3%28%20x"));
  client.ask("bad\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return site.log().size() == 3; }));
  const AccessRecord record = site.log()[0];
  EXPECT_EQ(record.route, "/echo");
  const Json line = parse_json(to_log_line(record), "log");
  EXPECT_EQ(line["request"], "mine");
  EXPECT_EQ(line["method"], "POST");
  EXPECT_EQ(line["path"], "/echo");
  EXPECT_EQ(line["status"], 200);
  EXPECT_EQ(line["bytes"], 4);
  EXPECT_EQ(line["remote"], "127.0.0.1");
  EXPECT_GE(line["seconds"].get<double>(), 0);
  EXPECT_EQ(line["time"].get<std::string>().size(), std::string("2000-01-01T00:00:00.000Z").size());
  EXPECT_NO_THROW(parse_json(to_log_line(site.log()[1]), "log")) << "neither quotes nor bad UTF-8";
  EXPECT_EQ(site.log()[2].status, 400);

  AccessRecord forged;
  forged.path = "/a\r\n{\"status\":200}";
  EXPECT_EQ(to_log_line(forged).find_first_of("\r\n"), std::string::npos);
}

TEST(Server, OptionsThatCannotBeAreErrors) {
  auto refused = [](auto&& change) {
    ServerOptions options;
    options.port = 0;
    change(options);
    EXPECT_THROW(Server(options, Router()).start(), Error);
  };
  refused([](ServerOptions& options) { options.port = 65536; });
  refused([](ServerOptions& options) { options.io_threads = 0; });
  refused([](ServerOptions& options) { options.host = "no.such.host.invalid"; });
  refused([](ServerOptions& options) { options.certificate = "only-one.pem"; });
  Site site;
  refused([&](ServerOptions& options) { options.port = site.port(); });
}

TEST(Server, SeveralIoThreadsShareTheConnections) {
  ServerOptions options;
  options.io_threads = 3;
  Site site(options);
  std::vector<RawClient> clients;
  for (int i = 0; i < 9; ++i) clients.emplace_back(site.port());
  for (RawClient& client : clients) client.send(get("/hello"));
  for (RawClient& client : clients) EXPECT_EQ(client.reply().body, "hello");
}

}  // namespace
}  // namespace millrace::http
