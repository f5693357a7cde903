#include "millrace/serve/prompts.h"

#include <gtest/gtest.h>

#include "millrace/serve/api_error.h"
#include "millrace/text/infill_tokens.h"
#include "tests/byte_tokenizer.h"

namespace millrace::serve {
namespace {

TEST(Prompts, ASuffixStandsBehindThePromptAndBeforeTheGap) {
  const Tokenizer tokenizer =
      byte_tokenizer({"<|endoftext|>", kInfillNames[0], kInfillNames[1], kInfillNames[2]});
  auto prompts =
      read_prompts(parse_json(R"(["a", "<|fim_prefix|>"])", "test"), "prompt", tokenizer);
  add_suffix(prompts, "b<|endoftext|>", tokenizer);
  const auto marks = infill_tokens(tokenizer).value();
  // What the suffix says is text, also where it looks like a token.
  const std::string after = "b<|endoftext|>";
  std::vector<int32_t> expected = {marks.prefix, 'a', marks.suffix};
  expected.insert(expected.end(), after.begin(), after.end());
  expected.push_back(marks.middle);
  EXPECT_EQ(prompts[0], expected);
  EXPECT_EQ(prompts[1][1], marks.prefix);
}

TEST(Prompts, ASuffixNeedsAModelThatFillsIn) {
  std::vector<std::vector<int32_t>> prompts = {{1}};
  EXPECT_THROW(add_suffix(prompts, "b", byte_tokenizer()), ApiError);
}

}  // namespace
}  // namespace millrace::serve
