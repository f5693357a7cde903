// Models that read a prefix both ways through the scheduler, encoder-decoders and those that fill
// blanks: they write what the reference does, in any company, and however batches are cut.
#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/generate/scheduler.h"
#include "millrace/model/load.h"

namespace millrace {
namespace {

const std::filesystem::path kFolder =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/families";

/// What is read both ways, and what the reference then writes greedily.
struct Golden {
  std::vector<int32_t> source, expected;
  int64_t blank = -1;  // where the mask is, in models that fill blanks

  explicit Golden(const std::string& name) {
    const Json json = read_json(kFolder / name / "golden.json");
    source = json.at("ids").get<std::vector<int32_t>>();
    source.resize(json.at("prefix").get<size_t>());
    expected = json.at("greedy").get<std::vector<int32_t>>();
    blank = json.value("blank", -1);
  }
};

constexpr int32_t kStart = 4;  // of a blank's text

SequenceRequest request(std::vector<int32_t> prompt, size_t max_tokens, std::vector<int32_t>& out) {
  SequenceRequest result;
  result.prompt = std::move(prompt);
  result.max_tokens = static_cast<int64_t>(max_tokens);
  result.sampling.temperature = 0;
  result.on_token = [&out](const GeneratedToken& token) {
    out.push_back(token.id);
    return true;
  };
  return result;
}

SequenceRequest request(const Golden& golden, std::vector<int32_t>& out) {
  SequenceRequest result = request(golden.source, golden.expected.size(), out);
  if (golden.blank < 0) return result;
  result.prefix = static_cast<int64_t>(result.prompt.size());
  result.blank = golden.blank;
  result.prompt.push_back(kStart);
  return result;
}

class Prefixes : public testing::TestWithParam<const char*> {};

TEST_P(Prefixes, WritesWhatTheReferenceDoes) {
  const Golden golden(GetParam());
  auto model = load_model(kFolder / GetParam(), {.dtype = DType::f32});
  for (int64_t tokens_per_batch : {1, 16, 61, 512}) {
    Scheduler scheduler(*model, {.tokens_per_batch = tokens_per_batch});
    std::vector<int32_t> got, other, again;
    scheduler.submit(request(golden, got));
    scheduler.submit(request({5, 9, 3}, 7, other));
    scheduler.submit(request(golden, again));
    scheduler.run();
    EXPECT_EQ(got, golden.expected) << tokens_per_batch;
    EXPECT_EQ(again, golden.expected) << tokens_per_batch;
    EXPECT_EQ(other.size(), 7u);
  }
}

TEST_P(Prefixes, ReadsItsTextAnewAfterItHadToMakeRoom) {
  const Golden golden(GetParam());
  auto model = load_model(kFolder / GetParam(), {.dtype = DType::f32});
  Scheduler scheduler(*model, {.max_positions = 3 * kPageSize});  // two texts need two pages each
  std::vector<std::vector<int32_t>> got(3);
  for (std::vector<int32_t>& ids : got) {
    scheduler.submit(request(golden, ids));
  }
  scheduler.run();
  for (const std::vector<int32_t>& ids : got) EXPECT_EQ(ids, golden.expected);
  EXPECT_EQ(scheduler.state().used_blocks, 0);
}

TEST_P(Prefixes, GuessesAheadWithoutChangingAToken) {
  const Golden golden(GetParam());
  auto model = load_model(kFolder / GetParam(), {.dtype = DType::f32});
  Scheduler scheduler(*model, {.max_draft_tokens = 4});
  std::vector<int32_t> got;
  scheduler.submit(request(golden, got));
  scheduler.run();
  EXPECT_EQ(got, golden.expected);
}

class EncoderDecoders : public testing::TestWithParam<const char*> {};

TEST_P(EncoderDecoders, RefuseWhatMakesNoSense) {
  auto model = load_model(kFolder / GetParam(), {.dtype = DType::f32});
  Scheduler scheduler(*model, {});
  std::vector<int32_t> got;
  EXPECT_THROW(scheduler.submit(request({}, 5, got)), Error);
  SequenceRequest scored = request({5, 9}, 5, got);
  scored.prompt_log_probabilities = true;
  EXPECT_THROW(scheduler.submit(std::move(scored)), Error);
  EXPECT_THROW(Scheduler(*model, {.max_draft_tokens = 4, .draft_model = model.get()}), Error);
}

INSTANTIATE_TEST_SUITE_P(All, Prefixes,
                         testing::Values("t5", "mt5", "umt5", "switch_transformers", "glm_blank",
                                         "chatglm_1"));
INSTANTIATE_TEST_SUITE_P(All, EncoderDecoders,
                         testing::Values("t5", "mt5", "umt5", "switch_transformers"));

TEST(Blanks, AreInThePrefix) {
  auto model = load_model(kFolder / "glm_blank", {.dtype = DType::f32});
  Scheduler scheduler(*model, {});
  std::vector<int32_t> got;
  for (const auto& [prefix, blank] : {std::pair(2, 2), std::pair(0, 1), std::pair(3, 0)}) {
    SequenceRequest r = request({3, 7, kStart}, 5, got);
    r.prefix = prefix;
    r.blank = blank;
    EXPECT_THROW(scheduler.submit(std::move(r)), Error) << prefix << " " << blank;
  }
}

}  // namespace
}  // namespace millrace
