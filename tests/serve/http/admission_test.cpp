#include "millrace/serve/http/admission.h"

#include <gtest/gtest.h>

namespace millrace::http {
namespace {

TEST(Hosts, LoopbackAddressesAndTheBoundNameAreAnswered) {
  ServerOptions options;
  options.host = "box.example";
  for (const char* host :
       {"localhost", "LOCALHOST:8080", "app.localhost", "127.0.0.1:1", "[::1]:80", "[::1]",
        "192.168.1.7:8080", "box.example", "Box.Example.:8080"}) {
    EXPECT_TRUE(host_allowed(options, host)) << host;
  }
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "evillocalhost", "127.evil", "box.example.evil", "[evil]", "1.2.3"}) {
    EXPECT_FALSE(host_allowed(options, host)) << host;
  }
  options.allowed_hosts = {"Chat.Example"};
  EXPECT_TRUE(host_allowed(options, "chat.example:443"));
  EXPECT_FALSE(host_allowed(options, "evil.example"));
  options.allowed_hosts = {"*"};
  EXPECT_TRUE(host_allowed(options, "evil.example"));
}

TEST(Origins, LoopbackAndTheOwnServerMayCall) {
  ServerOptions options;
  for (const char* origin : {"http://localhost:3000", "http://127.0.0.1", "https://box:8080"}) {
    EXPECT_TRUE(origin_allowed(options, origin, "box:8080")) << origin;
  }
  for (const char* origin : {"null", "", "https://evil.example", "https://localhost.evil.example",
                             "https://box", "file://"}) {
    EXPECT_FALSE(origin_allowed(options, origin, "box:8080")) << origin;
  }
  options.cors_origins = {"https://chat.example"};
  EXPECT_TRUE(origin_allowed(options, "https://chat.example", "box"));
  EXPECT_FALSE(origin_allowed(options, "http://chat.example", "box"));
  EXPECT_FALSE(origin_allowed(options, "https://chat.example:444", "box"));
  options.cors_origins = {"*"};
  EXPECT_TRUE(origin_allowed(options, "null", "box"));
}

TEST(RequestIds, TheClientsIsKeptWhenItIsPlain) {
  EXPECT_EQ(request_id("abc-1.2_Z"), "abc-1.2_Z");
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a\"b"),
                                 std::string("\xc3\xa9"), std::string(129, 'a')}) {
    const std::string id = request_id(bad);
    EXPECT_TRUE(id.starts_with("req_") && id.size() == 28) << id;
    EXPECT_NE(id, request_id(bad));
  }
}

// Whatever is added to the table later: without the key, only what is on the list is answered.
TEST(Admission, EveryRouteThatIsNotOpenAsksForTheKey) {
  ServerOptions options;
  options.authorise = [](Request&) { return Response{401, {}, ""}; };
  Router router;
  auto nothing = [](const Request&, const Exchange&) {};
  router.add({"GET", "/closed", nothing});
  router.add({"GET", "/open", nothing, 0, true});
  for (const Route& route : router.routes()) {
    Request request;
    request.method = route.method;
    request.path = route.pattern;
    request.headers.add("Host", "localhost");
    Router::Match match;
    const auto answer = answer_by_head(options, router, false, request, match);
    EXPECT_EQ(answer.has_value(), !route.open) << route.pattern;
    if (answer) {
      EXPECT_EQ(answer->status, 401);
    }
  }
}

}  // namespace
}  // namespace millrace::http
