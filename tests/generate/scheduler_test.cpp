// A sequence gets the same tokens and log-probabilities whatever company it keeps in the scheduler
// (company_test.cpp compares logits), and ends when it should.
#include "millrace/generate/scheduler.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> log_probabilities;
  bool operator==(const Answer&) const = default;
};

std::vector<int32_t> prompt(size_t length, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> ids(length);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(kTinyVocabulary));
  return ids;
}

SequenceRequest request(size_t length, uint64_t seed, Answer& answer) {
  SequenceRequest result;
  result.prompt = prompt(length, seed);
  result.max_tokens = 20;
  result.sampling.temperature = 0.8f;
  result.sampling.top_p = 0.9f;
  result.sampling.seed = seed;
  result.on_token = [&answer](const GeneratedToken& token) {
    answer.ids.push_back(token.id);
    answer.log_probabilities.push_back(token.log_probability);
    return true;
  };
  return result;
}

Answer alone(Model& model, size_t length, uint64_t seed) {
  Answer answer;
  Scheduler scheduler(model);
  scheduler.submit(request(length, seed, answer));
  scheduler.run();
  return answer;
}

class Company : public testing::TestWithParam<DType> {};

TEST_P(Company, DoesNotChangeAnAnswer) {
  auto model = tiny_model(GetParam());
  const std::vector<size_t> lengths = {1, 2, 15, 16, 17, 33, 63, 64, 65, 130};
  std::vector<Answer> expected;
  for (size_t i = 0; i < lengths.size(); ++i) expected.push_back(alone(*model, lengths[i], i));
  const int before = num_threads();
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    for (int64_t tokens_per_batch : {7, 64, 512}) {
      for (int64_t max_sequences : {3, 64}) {
        std::vector<Answer> got(lengths.size());
        Scheduler scheduler(*model,
                            {.tokens_per_batch = tokens_per_batch, .max_sequences = max_sequences});
        for (size_t i = 0; i < lengths.size(); ++i) {
          scheduler.submit(request(lengths[i], i, got[i]));
        }
        scheduler.run();
        EXPECT_TRUE(got == expected) << threads << " threads, " << tokens_per_batch
                                     << " tokens a batch, " << max_sequences << " sequences";
      }
    }
  }
  set_num_threads(before);
}

std::string type_name(const testing::TestParamInfo<DType>& type) {
  return std::string(info(type.param).name);
}

INSTANTIATE_TEST_SUITE_P(Types, Company, testing::Values(DType::f32, DType::bf16, DType::q8_0),
                         type_name);

TEST(Scheduler, EndsAtEndIdsAtTheLimitAndAtTheContext) {
  auto model = tiny_model(DType::f32);
  Answer free = alone(*model, 10, 3);
  ASSERT_EQ(free.ids.size(), 20u);
  Answer answer;
  FinishReason reason = FinishReason::length;
  auto run = [&](SequenceRequest r) {
    answer = {};
    r.on_finish = [&](const Finish& finish) { reason = finish.reason; };
    Scheduler scheduler(*model);
    scheduler.submit(std::move(r));
    scheduler.run();
  };
  SequenceRequest ended = request(10, 3, answer);
  ended.end_ids = {free.ids[4]};
  run(std::move(ended));
  EXPECT_EQ(reason, FinishReason::stop);
  EXPECT_LE(answer.ids.size(), 4u);
  run(request(10, 3, answer));
  EXPECT_EQ(reason, FinishReason::length);
  EXPECT_EQ(answer.ids.size(), 20u);
  run(request(505, 3, answer));
  EXPECT_EQ(reason, FinishReason::length);
  EXPECT_EQ(answer.ids.size(), 7u);
}

TEST(Scheduler, RefusesWhatCanNeverRun) {
  auto model = tiny_model(DType::f32);
  Scheduler scheduler(*model, {.max_positions = 128});
  Answer answer;
  EXPECT_THROW(scheduler.submit(request(0, 1, answer)), Error);
  EXPECT_THROW(scheduler.submit(request(512, 1, answer)), Error);
  EXPECT_THROW(scheduler.submit(request(120, 1, answer)), Error);
  SequenceRequest bad = request(4, 1, answer);
  bad.prompt[2] = kTinyVocabulary;
  EXPECT_THROW(scheduler.submit(std::move(bad)), Error);
  bad = request(4, 1, answer);
  bad.sampling.temperature = -1;
  EXPECT_THROW(scheduler.submit(std::move(bad)), Error);
  EXPECT_FALSE(scheduler.step());
}

TEST(Scheduler, WaitsForBlocksAndGivesThemBack) {
  auto model = tiny_model(DType::f32);
  Scheduler scheduler(*model, {.max_positions = 128});
  std::vector<Answer> got(6);
  for (size_t i = 0; i < got.size(); ++i) scheduler.submit(request(60, i, got[i]));
  scheduler.run();
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i] == alone(*model, 60, i));
}

}  // namespace
}  // namespace millrace
