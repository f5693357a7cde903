// What must hold of every route there is, and of the log.
#include <gtest/gtest.h>

#include <set>

#include "millrace/base/json.h"
#include "tests/http_client.h"
#include "tests/served_model.h"

namespace millrace {
namespace {

/// A path that the pattern matches.
std::string example_of(const std::string& pattern) {
  std::string path;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{') {
      i = pattern.find('}', i);
      path += "tiny";
    } else {
      path += pattern[i];
    }
  }
  return path;
}

TEST(Routes, WantTheKeyUnlessTheyAreOpen) {
  TinyService service("api-key=sesame");
  std::set<std::string> open;
  for (const ServedRoute& route : service.routes()) {
    const std::string path = example_of(route.pattern);
    if (route.open) {
      open.insert(route.method + " " + route.pattern);
      continue;
    }
    for (const HttpHeaders& headers :
         {HttpHeaders{}, HttpHeaders{{"Authorization", "Bearer wrong"}},
          HttpHeaders{{"Authorization", "Bearer "}}, HttpHeaders{{"x-api-key", ""}}}) {
      const HttpAnswer answer = HttpClient(service.port()).ask(route.method, path, headers);
      EXPECT_EQ(answer.status, 401) << route.method << " " << path;
      EXPECT_TRUE(Json::parse(answer.body).contains("error")) << answer.body;
    }
    // Not by another spelling of the path either.
    for (const std::string& other : {"/" + path, path + "/", path + "?a=b"}) {
      EXPECT_EQ(HttpClient(service.port()).ask(route.method, other).status, 401) << other;
    }
  }
  EXPECT_EQ(open,
            (std::set<std::string>{"GET /", "GET /health", "GET /ready", "GET /openapi.json"}));
}

TEST(Routes, LogOneObjectALineWithoutTextOfPrompts) {
  TinyService service;
  const std::string body =
      R"({"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "my-secret"}]})";
  HttpClient(service.port()).post("/v1/chat/completions", body);
  HttpClient(service.port()).ask("GET", "/v1/models/a%0d%0a%7b%22forged%22:1%7d");
  HttpClient(service.port()).ask("GET", "/v1/models?key=my-secret");
  HttpClient(service.port()).ask("GET", "/v1/models", {{"X-Request-Id", "a\"}{\"forged\": 1"}});
  HttpClient(service.port())
      .post("/v1/chat/completions", R"({"model": "no\r\n{\"forged\": 1}", "messages": []})");
  for (const std::string& line : service.log()) {
    const Json json = Json::parse(line, nullptr, false);
    EXPECT_TRUE(json.is_object()) << line;
    EXPECT_FALSE(json.contains("forged")) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_EQ(line.find("my-secret"), std::string::npos) << line;
  }
}

TEST(Routes, LogTextWhenAsked) {
  TinyService service("log-text=true");
  const std::string body =
      R"({"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "my-secret"}]})";
  HttpClient(service.port()).post("/v1/chat/completions", body);
  bool told = false;
  for (const std::string& line : service.log()) {
    told = told || line.find("my-secret") != std::string::npos;
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace millrace
