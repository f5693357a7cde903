// Fields of a body: types and bounds, with the path in the error.
#include "millrace/serve/fields.h"

#include <gtest/gtest.h>

#include "millrace/base/base64.h"

namespace millrace::serve {
namespace {

/// The `param` of the error that `read` throws for the field `x` of a body; "none" without one.
template <typename Read>
std::string param_of(const std::string& body, const Read& read) {
  try {
    const Json json = parse_body(body);
    Fields fields(json);
    read(fields);
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 400);
    return error.param;
  }
  return "none";
}

TEST(Fields, WholeNumbersStayWithinTheirBounds) {
  const auto read = [](Fields& fields) { fields.integer("x", -2, 128); };
  for (const char* good : {"1", "-2", "128", "3.0", "null", "1e2"}) {
    EXPECT_EQ(param_of(std::string("{\"x\": ") + good + "}", read), "none") << good;
  }
  for (const char* bad :
       {"129", "-3", "0.5", "1e400", "9223372036854775808", "18446744073709551616",
        "-9223372036854775809", "\"1\"", "true", "[]", "{}", "1e30"}) {
    EXPECT_NE(param_of(std::string("{\"x\": ") + bad + "}", read), "none") << bad;
  }
}

TEST(Fields, TheWholeRangeOfASeed) {
  const Json json = parse_body("{\"x\": -9223372036854775808, \"y\": 9223372036854775807}");
  Fields fields(json);
  constexpr auto kLow = std::numeric_limits<int64_t>::min();
  constexpr auto kHigh = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(fields.integer("x", kLow, kHigh), kLow);
  EXPECT_EQ(fields.integer("y", kLow, kHigh), kHigh);
}

TEST(Fields, NumbersStayWithinTheirBounds) {
  const auto read = [](Fields& fields) { fields.number("x", 0, 2); };
  EXPECT_EQ(param_of("{\"x\": 2}", read), "none");
  EXPECT_EQ(param_of("{\"x\": 2.0001}", read), "x");
  EXPECT_EQ(param_of("{\"x\": -0.1}", read), "x");
  EXPECT_EQ(param_of("{\"x\": \"nan\"}", read), "x");
}

TEST(Fields, KnowsWhatNobodyAskedFor) {
  const Json json = parse_body("{\"a\": 1, \"b\": 2, \"c\": null}");
  Fields fields(json);
  fields.accept({"a"});
  EXPECT_EQ(fields.unread(), (std::vector<std::string>{"b", "c"}));
}

TEST(Fields, RefusesByNameUnlessHarmless) {
  const auto read = [](Fields& fields) { fields.refuse("x", "no", "medium"); };
  for (const char* harmless : {"null", "false", "\"none\"", "[]", "{}", "\"\"", "\"medium\""}) {
    EXPECT_EQ(param_of(std::string("{\"x\": ") + harmless + "}", read), "none") << harmless;
  }
  EXPECT_EQ(param_of("{\"x\": \"high\"}", read), "x");
}

TEST(Fields, ABodyIsAnObject) {
  for (const char* bad : {"", "[]", "1", "{", "nul", "{\"a\": \"\xff\"}", "NaN"}) {
    EXPECT_THROW(parse_body(bad), ApiError) << bad;
  }
  EXPECT_THROW(parse_body(std::string(100000, '[')), ApiError);
}

TEST(Base64, AsTheStandardHasIt) {
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foo"), "Zm9v");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace millrace::serve
