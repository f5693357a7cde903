// The template language, feature by feature, against Jinja2's own output
// (tests/golden/text/jinja_language.json, made by tools/make_jinja_goldens.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "millrace/base/error.h"
#include "millrace/base/json.h"
#include "millrace/text/jinja/interpreter.h"
#include "millrace/text/jinja/parser.h"

namespace millrace::jinja {
namespace {

/// The output, or nullopt with the error's message in `error`.
std::optional<std::string> render_text(const std::string& source, const Json& data,
                                       std::string& error) {
  try {
    Body body = parse(source, "test");
    Environment environment{Budget(Limits()), std::tm{}, {}};
    std::vector<std::pair<std::string, Value>> variables;
    for (const auto& [name, value] : data.items()) {
      variables.emplace_back(name, from_json(environment.budget, value, Origin::kData));
    }
    return render(body, "test", environment, std::move(variables)).text.bytes();
  } catch (const Error& caught) {
    error = caught.what();
    return std::nullopt;
  }
}

TEST(JinjaLanguage, RendersAsJinja2Does) {
  Json golden = read_json(std::filesystem::path(MILLRACE_SOURCE_DIR) /
                          "tests/golden/text/jinja_language.json");
  ASSERT_GT(golden["cases"].size(), 200u);
  for (const Json& test_case : golden["cases"]) {
    std::string source = test_case["template"];
    SCOPED_TRACE(test_case["group"].get<std::string>() + ": " + source);
    std::string error;
    std::optional<std::string> rendered = render_text(source, golden["data"], error);
    if (test_case["output"].is_null()) {
      EXPECT_FALSE(rendered.has_value()) << "Jinja2 raises, we render: " << *rendered;
      EXPECT_EQ(error.rfind("test, line ", 0), 0u) << error;
    } else {
      EXPECT_EQ(rendered.value_or("error: " + error), test_case["output"].get<std::string>());
    }
  }
}

}  // namespace
}  // namespace millrace::jinja
