// The comparisons of API tests: they must be able to fail.
#include "tests/api/match.h"

#include <gtest/gtest.h>

#include "tests/api/case_file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

bool fits(const char* expected, const char* actual) {
  Variables variables;
  return differences(Json::parse(expected), Json::parse(actual), variables).empty();
}

TEST(Match, TakesSubsetsOfObjectsAndWholeArrays) {
  EXPECT_TRUE(fits(R"({"a": 1})", R"({"b": 2, "a": 1})"));
  EXPECT_FALSE(fits(R"({"a": 1})", R"({"a": 2})"));
  EXPECT_FALSE(fits(R"({"a": 1})", R"({})"));
  EXPECT_FALSE(fits(R"({"a": 1})", R"([])"));
  EXPECT_FALSE(fits(R"([1])", R"([1, 2])"));
  EXPECT_FALSE(fits(R"([1, 2])", R"([1])"));
  EXPECT_FALSE(fits(R"({"a": null})", R"({})"));
  EXPECT_TRUE(fits(R"([{"a": 1}])", R"([{"a": 1, "b": 2}])"));
}

TEST(Match, KnowsMatchers) {
  EXPECT_TRUE(fits(R"(["<text>", "<string>", "<integer>", "<number>", "<boolean>", "<any>"])",
                   R"(["x", "", 3, 0.5, false, null])"));
  EXPECT_FALSE(fits(R"("<text>")", R"("")"));
  EXPECT_FALSE(fits(R"("<integer>")", "0.5"));
  EXPECT_FALSE(fits(R"({"a": "<any>"})", "{}"));
  EXPECT_TRUE(fits(R"({"a": "<absent>"})", "{}"));
  EXPECT_FALSE(fits(R"({"a": "<absent>"})", R"({"a": null})"));
  EXPECT_TRUE(fits(R"(["<each>", "<above 2>"])", "[3, 4, 5]"));
  EXPECT_FALSE(fits(R"(["<each>", "<above 2>"])", "[3, 2]"));
  EXPECT_FALSE(fits(R"("<array 2>")", "[1]"));
  EXPECT_FALSE(fits(R"("<contains b>")", R"("a")"));
  EXPECT_TRUE(fits(R"("<matches ^a+$>")", R"("aaa")"));
  EXPECT_FALSE(fits(R"("<matches ^a+$>")", R"("aab")"));
  EXPECT_FALSE(fits(R"("<not 3>")", "3"));
  EXPECT_THROW(fits(R"("<nonsense>")", "3"), Error);
}

TEST(Match, KeepsValues) {
  Variables variables;
  const Json actual = {{"id", "a\"b"}, {"part", "x"}};
  EXPECT_TRUE(
      differences({{"id", "<save ID>"}, {"part", "<append ALL>"}}, actual, variables).empty());
  EXPECT_TRUE(differences({{"part", "<append ALL>"}}, actual, variables).empty());
  EXPECT_EQ(substitute(R"({"x": "${ID}", "y": "${ALL}"})", variables),
            R"({"x": "a\"b", "y": "xx"})");
  EXPECT_EQ(substitute("{{3 * a#}}{{bytes 41 0a}}", variables), "a0a1a2A\n");
  EXPECT_THROW(substitute("${NOBODY}", variables), Error);
}

TEST(CaseFile, SaysWhereItIsWrong) {
  ScratchFolder folder;
  for (const char* text : {"nonsense\n", "== a\nGET /\n", "== a\nGET /\n=> 200\nnonsense\n",
                           "== a\nfor X of 1\nGET /\n=> 200\n", "server x\n"}) {
    const auto path = folder.write("a.api", text);
    try {
      read_case_file(path);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("a.api:"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace millrace
