#include "millrace/serve/http/router.h"

#include <gtest/gtest.h>

namespace millrace::http {
namespace {

void nothing(const Request&, const Exchange&) {}

Router table(std::initializer_list<std::pair<const char*, const char*>> routes) {
  Router router;
  for (const auto& [method, pattern] : routes) router.add({method, pattern, nothing});
  return router;
}

std::string pattern_of(const Router::Match& match) {
  return match.route == nullptr ? "" : match.route->pattern;
}

TEST(Router, TheFirstThatMatchesAnswers) {
  const Router router = table({{"GET", "/"},
                               {"GET", "/v1/models"},
                               {"POST", "/v1/models/{model...}/load"},
                               {"GET", "/v1/models/{model...}"},
                               {"DELETE", "/v1/models/{model...}"},
                               {"GET", "/v1/{kind}/{id}/events"}});
  EXPECT_EQ(pattern_of(router.match("GET", "/")), "/");
  EXPECT_EQ(pattern_of(router.match("GET", "/v1/models")), "/v1/models");
  EXPECT_EQ(pattern_of(router.match("HEAD", "/v1/models")), "/v1/models");
  const Router::Match load = router.match("POST", "/v1/models/org/name/load");
  EXPECT_EQ(pattern_of(load), "/v1/models/{model...}/load");
  EXPECT_EQ(load.parameters.at("model"), "org/name");
  EXPECT_EQ(router.match("DELETE", "/v1/models/a").parameters.at("model"), "a");
  const Router::Match events = router.match("GET", "/v1/jobs/7/events");
  EXPECT_EQ(events.parameters.at("kind"), "jobs");
  EXPECT_EQ(events.parameters.at("id"), "7");
}

TEST(Router, WhatDoesNotMatchSaysWhatWould) {
  const Router router = table({{"GET", "/a/{x...}/z"}, {"POST", "/a/{x...}"}, {"GET", "/b"}});
  EXPECT_EQ(router.match("PUT", "/a/1/z").allowed, "GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(router.match("GET", "/a/z").allowed, "OPTIONS, POST") << "a tail is never empty";
  EXPECT_EQ(router.match("GET", "/a").allowed, "");
  EXPECT_EQ(router.match("GET", "/b/c").allowed, "");
  EXPECT_EQ(router.match("GET", "/B").allowed, "");
}

TEST(Router, BadPatternsAreErrors) {
  for (const char* pattern :
       {"", "a", "/a//b", "/{}", "/{...}", "/x{y}", "/{a...}/{b...}", "/{a"}) {
    Router router;
    EXPECT_THROW(router.add({"GET", pattern, nothing}), Error) << pattern;
  }
  Router router = table({{"GET", "/a"}});
  EXPECT_THROW(router.add({"GET", "/a", nothing}), Error);
  EXPECT_THROW(router.add({"GET", "/b", nullptr}), Error);
}

}  // namespace
}  // namespace millrace::http
