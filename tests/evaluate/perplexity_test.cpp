// Perplexity is what the windows give one by one, and the same however many run together.
#include "millrace/evaluate/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/model/score.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

using Ids = std::vector<int32_t>;

constexpr size_t kContext = 20;

/// Thirty-five windows and a rest that is not scored.
Ids text() {
  Random random(3);
  Ids ids(35 * kContext + 7);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(kTinyVocabulary));
  return ids;
}

class PerplexityOfType : public testing::TestWithParam<DType> {};

TEST_P(PerplexityOfType, IsTheSameForAnyBatchAndAnyNumberOfThreads) {
  auto model = tiny_model(GetParam(), 256);
  const Ids ids = text();
  const int before = num_threads();
  Perplexity first;
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    for (int64_t batch : {1, 2, 15, 16, 17, 33, 100}) {
      Perplexity got = perplexity(*model, ids, {.context = kContext, .batch = batch});
      if (first.tokens == 0) first = got;
      EXPECT_EQ(got.nll, first.nll) << batch << " windows, " << threads << " threads";
      EXPECT_EQ(got.log_probabilities, first.log_probabilities);
      EXPECT_EQ(got.positions, first.positions);
    }
  }
  set_num_threads(before);
  EXPECT_EQ(first.tokens, 35 * (static_cast<int64_t>(kContext) / 2 - 1));
}

std::string type_name(const testing::TestParamInfo<DType>& type) {
  return std::string(info(type.param).name);
}

INSTANTIATE_TEST_SUITE_P(Types, PerplexityOfType,
                         testing::Values(DType::f32, DType::bf16, DType::f16, DType::q8_0,
                                         DType::q4_k),
                         type_name);

TEST(Perplexity, ScoresTheSecondHalfOfEachWindowAsIfItWereAlone) {
  auto model = tiny_model(DType::f32);
  const Ids ids = text();
  const Perplexity got =
      perplexity(*model, ids, {.context = kContext, .batch = 8, .bos = kTinyVocabulary - 1});
  double sum = 0;
  size_t at = 0;
  for (size_t begin = 0; begin + kContext <= ids.size(); begin += kContext) {
    Ids window(ids.begin() + static_cast<int64_t>(begin),
               ids.begin() + static_cast<int64_t>(begin + kContext));
    Ids targets(window.begin() + 1, window.end());
    targets.push_back(-1);
    window[0] = kTinyVocabulary - 1;
    RaggedBatch batch;
    batch.add_sequence(window);
    Workspace workspace;
    std::vector<float> losses(kContext);
    token_losses(*model, batch, targets, workspace, losses);
    for (size_t i = kContext / 2; i + 1 < kContext; ++i, ++at) {
      ASSERT_LT(at, got.positions.size());
      EXPECT_EQ(got.positions[at], static_cast<int64_t>(begin + i + 1));
      EXPECT_EQ(got.log_probabilities[at], -losses[i]);
      sum += static_cast<double>(losses[i]);
    }
  }
  EXPECT_EQ(at, got.positions.size());
  EXPECT_EQ(got.nll, sum / static_cast<double>(at));
  EXPECT_EQ(got.perplexity(), std::exp(got.nll));
}

TEST(Perplexity, RefusesWhatItCannotScore) {
  auto model = tiny_model(DType::f32);
  const Ids ids = text();
  EXPECT_THROW(perplexity(*model, ids, {.context = 3}), Error);
  EXPECT_THROW(perplexity(*model, ids, {.context = 513}), Error);
  EXPECT_THROW(perplexity(*model, ids, {.context = kContext, .batch = 0}), Error);
  EXPECT_THROW(perplexity(*model, std::span(ids).first(kContext - 1), {.context = kContext}),
               Error);
}

}  // namespace
}  // namespace millrace
