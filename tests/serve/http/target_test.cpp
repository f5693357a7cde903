#include "millrace/serve/http/target.h"

#include <gtest/gtest.h>

#include "millrace/serve/http/message.h"

namespace millrace::http {
namespace {

TEST(Target, PathsAreDecodedAndNormalised) {
  EXPECT_EQ(parse_target("/").path, "/");
  EXPECT_EQ(parse_target("/v1/models").path, "/v1/models");
  EXPECT_EQ(parse_target("//v1///models/").path, "/v1/models");
  EXPECT_EQ(parse_target("/v1/models/org%2fname%20x").path, "/v1/models/org/name x");
  EXPECT_EQ(parse_target("/a+b").path, "/a+b");
  EXPECT_EQ(parse_target("/%252e%252e").path, "/%2e%2e") << "decoded once only";
  EXPECT_EQ(parse_target("/...").path, "/...");
  EXPECT_EQ(parse_target("*").path, "*");
}

TEST(Target, QueriesAreDecoded) {
  const std::map<std::string, std::string> expected = {
      {"a", "1 2"}, {"b", ""}, {"c=", "x=y&"}, {"d", "last"}};
  EXPECT_EQ(parse_target("/p?a=1+2&b&c%3d=x=y%26&&d=first&d=last").query, expected);
  EXPECT_EQ(parse_target("/p?a=1#b=2").query.size(), 1u);
  EXPECT_EQ(parse_target("/p?").query.size(), 0u);
}

TEST(Target, AnAbsoluteFormNamesItsHost) {
  const Target target = parse_target("HTTP://Example.org:80/v1?x=1");
  EXPECT_EQ(target.authority, "Example.org:80");
  EXPECT_EQ(target.path, "/v1");
  EXPECT_EQ(target.query.at("x"), "1");
  EXPECT_EQ(parse_target("http://example.org").path, "/");
}

TEST(Target, WhatNoPathMayHoldIsRefused) {
  for (const char* bad : {"",
                          "v1",
                          "example.org:80",
                          "http://",
                          "http:///x",
                          "/..",
                          "/.",
                          "/a/../b",
                          "/a/..",
                          "/%2e%2e/etc",
                          "/%2E%2e%2fetc",
                          "/a%2f..%2fb",
                          "/.%2e/",
                          "/a/./b",
                          "/..%5cetc",
                          "/a\\b",
                          "/%",
                          "/%4",
                          "/%zz",
                          "/%-1",
                          "/a%00b",
                          "/a%0d%0aSet-Cookie:x",
                          "/a%7f",
                          "/?a=%0a",
                          "/?%"}) {
    EXPECT_THROW(parse_target(bad), Refusal) << bad;
  }
}

}  // namespace
}  // namespace millrace::http
