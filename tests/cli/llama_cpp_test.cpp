// `millrace score` finds a text as likely as llama.cpp does with the same file, for every type with
// blocks of 256 (tools/make_perplexity_goldens.py). tests/real has SmolLM2 in Q4_1.
#include <gtest/gtest.h>

#include <string>

#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "tests/cli/program.h"

namespace millrace {
namespace {

const std::filesystem::path kGoldens =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/perplexity";

class PerplexityOfLlamaCpp : public testing::TestWithParam<const char*> {};

TEST_P(PerplexityOfLlamaCpp, IsFoundWithinAFifthOfAPerCent) {
  const std::string type = GetParam();
  const Json golden = parse_json(read_file(kGoldens / "perplexity.json"), "perplexity.json");
  const Json got = millrace_json({"score", (kGoldens / (type + ".gguf")).string(), "--file",
                                  (kGoldens / "heldout.txt").string(), "--context",
                                  std::to_string(golden.at("context").get<int>()), "--no-cache"});
  ASSERT_FALSE(got.is_null());
  EXPECT_EQ(got.at("text_tokens"), golden.at("text_tokens"));
  EXPECT_NEAR(got.at("perplexity").get<double>() / golden.at("types").at(type).get<double>(), 1.0,
              0.002);
}

INSTANTIATE_TEST_SUITE_P(Types, PerplexityOfLlamaCpp,
                         testing::Values("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"),
                         [](const auto& type) { return std::string(type.param); });

}  // namespace
}  // namespace millrace
