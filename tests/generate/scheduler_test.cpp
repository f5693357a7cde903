// A sequence gets the same tokens and log-probabilities whatever company it keeps in the scheduler
// (company_test.cpp compares logits), and ends when it should.
#include "millrace/generate/scheduler.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/model/adapter.h"
#include "millrace/model/score.h"
#include "tests/allocation_count.h"
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

std::shared_ptr<Adapter> random_adapter(const Model& model, uint64_t seed) {
  auto adapter = std::make_shared<Adapter>(model, 4, 8.0f, std::vector<std::string>{}, seed);
  Random random(seed);
  for (Parameter& parameter : adapter->parameters()) {
    for (float& x : parameter.value.f32()) x = static_cast<float>(random.normal() * 0.1);
    pack_for_running(parameter, model.arithmetic());
  }
  return adapter;
}

std::shared_ptr<const LowRankMap> map_of(const std::shared_ptr<Adapter>& adapter) {
  return {adapter, &adapter->map()};
}

TEST(Scheduler, AddsToEachSequenceOfABatchItsOwnAdapter) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    auto model = tiny_model(dtype);
    const std::vector<std::shared_ptr<const LowRankMap>> adapters = {
        nullptr, map_of(random_adapter(*model, 1)), map_of(random_adapter(*model, 2))};
    std::vector<Answer> expected(9), got(9);
    auto submit = [&](Scheduler& scheduler, size_t i, Answer& answer) {
      SequenceRequest r = request(20 + i, 5, answer);
      r.adapter = adapters[i % 3];
      scheduler.submit(std::move(r));
    };
    Scheduler together(*model);
    for (size_t i = 0; i < expected.size(); ++i) {
      Scheduler scheduler(*model);
      submit(scheduler, i, expected[i]);
      scheduler.run();
      submit(together, i, got[i]);
    }
    together.run();
    EXPECT_TRUE(got == expected);
    EXPECT_FALSE(expected[0].log_probabilities == expected[1].log_probabilities);
  }
}

/// Runs one request in a scheduler, and says how it ended.
Finish run_one(Scheduler& scheduler, SequenceRequest request) {
  Finish result;
  request.on_finish = [&](const Finish& finish) { result = finish; };
  scheduler.submit(std::move(request));
  scheduler.run();
  return result;
}

TEST(Scheduler, ReadsOnlyWhatIsNewOfAConversation) {
  auto model = tiny_model(DType::bf16);
  Scheduler scheduler(*model);
  Answer first;
  EXPECT_EQ(run_one(scheduler, request(200, 1, first)).cached_prompt_tokens, 0);
  auto second_turn = [&](Answer& answer) {
    SequenceRequest r = request(200, 1, answer);
    r.prompt.insert(r.prompt.end(), first.ids.begin(), first.ids.end());
    for (int32_t id : prompt(30, 2)) r.prompt.push_back(id);
    return r;
  };
  Answer expected, got, scoped, refused, again;
  Scheduler fresh(*model);
  EXPECT_EQ(run_one(fresh, second_turn(expected)).cached_prompt_tokens, 0);
  // 200 + 19 positions are known; 3 blocks of 64 of them are full.
  EXPECT_EQ(run_one(scheduler, second_turn(got)).cached_prompt_tokens, 192);
  EXPECT_TRUE(got == expected);
  SequenceRequest other = second_turn(scoped);
  other.cache_scope = "another key";
  EXPECT_EQ(run_one(scheduler, std::move(other)).cached_prompt_tokens, 0);
  SequenceRequest refusing = second_turn(refused);
  refusing.reuse_prefix = false;
  EXPECT_EQ(run_one(scheduler, std::move(refusing)).cached_prompt_tokens, 0);
  SequenceRequest adapted = second_turn(again);
  adapted.adapter = map_of(random_adapter(*model, 1));
  EXPECT_EQ(run_one(scheduler, std::move(adapted)).cached_prompt_tokens, 0);
  EXPECT_TRUE(scoped == expected && refused == expected);
  Scheduler without(*model, {.share_prefixes = false});
  run_one(without, request(200, 1, again));
  EXPECT_EQ(run_one(without, second_turn(again)).cached_prompt_tokens, 0);
}

TEST(Scheduler, TellsHowLikelyThePromptWas) {
  auto model = tiny_model(DType::f32);
  const std::vector<int32_t> ids = prompt(150, 1);
  RaggedBatch batch;
  batch.add_sequence(ids);
  std::vector<int32_t> targets(ids.begin() + 1, ids.end());
  targets.push_back(-1);
  std::vector<float> losses(ids.size());
  Workspace workspace;
  token_losses(*model, batch, targets, workspace, losses);
  Scheduler scheduler(*model, {.tokens_per_batch = 33});
  Answer warm;
  run_one(scheduler, request(150, 1, warm));  // a prefix that is known must not be skipped
  for (int64_t max_tokens : {0, 20}) {
    Answer answer;
    std::vector<float> found = {0};
    SequenceRequest r = request(150, 1, answer);
    r.max_tokens = max_tokens;
    r.prompt_log_probabilities = true;
    r.top_log_probabilities = 2;
    r.on_prompt_token = [&](size_t index, const GeneratedToken& token) {
      EXPECT_EQ(index, found.size());
      EXPECT_EQ(token.id, ids[index]);
      ASSERT_EQ(token.top.size(), 2u);
      EXPECT_GE(token.top[0].log_probability, token.top[1].log_probability);
      EXPECT_GE(token.top[0].log_probability, token.log_probability);
      found.push_back(token.log_probability);
    };
    const Finish finish = run_one(scheduler, std::move(r));
    EXPECT_EQ(finish.reason, FinishReason::length);
    EXPECT_EQ(finish.generated_tokens, max_tokens);
    ASSERT_EQ(found.size(), ids.size());
    for (size_t i = 1; i < found.size(); ++i) EXPECT_EQ(found[i], -losses[i - 1]);
    EXPECT_TRUE(max_tokens == 0 || answer == warm);
  }
  // A prompt that leaves no room for an answer, too.
  Answer full;
  SequenceRequest whole = request(512, 1, full);
  int64_t scored = 0;
  whole.max_tokens = 0;
  whole.prompt_log_probabilities = true;
  whole.on_prompt_token = [&](size_t, const GeneratedToken&) { ++scored; };
  EXPECT_EQ(run_one(scheduler, std::move(whole)).reason, FinishReason::length);
  EXPECT_EQ(scored, 511);
  Answer none;
  SequenceRequest nothing = request(5, 1, none);
  nothing.max_tokens = 0;
  EXPECT_THROW(scheduler.submit(std::move(nothing)), Error);
}

/// Allows every third id, at most `most` of them.
class EveryThird final : public Constraint {
 public:
  EveryThird(int64_t most, std::vector<int32_t>* accepted) : left_(most), accepted_(accepted) {
    for (size_t id = 0; id < kTinyVocabulary; id += 3) bits_[id / 64] |= uint64_t{1} << (id % 64);
  }
  std::span<const uint64_t> allowed() override {
    require(left_ > 0, "nothing can follow");
    return bits_;
  }
  void accept(int32_t id) override {
    --left_;
    accepted_->push_back(id);
  }
  std::unique_ptr<Constraint> clone() const override { return std::make_unique<EveryThird>(*this); }

 private:
  std::vector<uint64_t> bits_ = std::vector<uint64_t>((kTinyVocabulary + 63) / 64);
  int64_t left_;
  std::vector<int32_t>* accepted_;
};

TEST(Scheduler, ChoosesOnlyWhatAConstraintAllows) {
  auto model = tiny_model(DType::f32);
  Scheduler scheduler(*model);
  for (float temperature : {0.0f, 1.0f}) {
    Answer answer, scored;
    std::vector<int32_t> accepted;
    SequenceRequest r = request(30, 1, answer);
    r.sampling.temperature = temperature;
    r.constraint = std::make_unique<EveryThird>(100, &accepted);
    EXPECT_EQ(run_one(scheduler, std::move(r)).reason, FinishReason::length);
    EXPECT_EQ(answer.ids.size(), 20u);
    EXPECT_EQ(accepted, answer.ids);
    for (int32_t id : answer.ids) EXPECT_EQ(id % 3, 0);
    // The log-probabilities are those of the model, as if there were no constraint.
    SequenceRequest score = request(30, 1, scored);
    score.prompt.insert(score.prompt.end(), answer.ids.begin(), answer.ids.end());
    score.max_tokens = 0;
    score.prompt_log_probabilities = true;
    score.on_prompt_token = [&](size_t, const GeneratedToken& token) {
      scored.log_probabilities.push_back(token.log_probability);
    };
    run_one(scheduler, std::move(score));
    scored.log_probabilities.erase(scored.log_probabilities.begin(),
                                   scored.log_probabilities.begin() + 29);
    EXPECT_EQ(scored.log_probabilities, answer.log_probabilities);
  }
}

TEST(Scheduler, EndsOnlyTheSequenceThatFails) {
  auto model = tiny_model(DType::f32);
  auto broken = random_adapter(*model, 1);
  for (Parameter& parameter : broken->parameters()) {
    parameter.value.f32()[0] = std::numeric_limits<float>::quiet_NaN();
    pack_for_running(parameter, model->arithmetic());
  }
  Scheduler scheduler(*model);
  std::vector<Answer> answers(4);
  std::vector<Finish> ends(4);
  std::vector<int32_t> accepted;
  for (size_t i = 0; i < answers.size(); ++i) {
    SequenceRequest r = request(30, i, answers[i]);
    if (i == 1) r.adapter = map_of(broken);
    if (i == 2) r.constraint = std::make_unique<EveryThird>(5, &accepted);
    r.on_finish = [&ends, i](const Finish& finish) { ends[i] = finish; };
    scheduler.submit(std::move(r));
  }
  scheduler.run();
  EXPECT_EQ(ends[1].reason, FinishReason::failed);
  EXPECT_NE(ends[1].error.find("not finite"), std::string::npos) << ends[1].error;
  EXPECT_EQ(ends[2].reason, FinishReason::failed);
  EXPECT_EQ(ends[2].error, "nothing can follow");
  EXPECT_EQ(answers[2].ids.size(), 5u);
  for (size_t i : {0, 3}) {
    EXPECT_EQ(ends[i].reason, FinishReason::length);
    EXPECT_TRUE(answers[i] == alone(*model, 30, i));
  }
}

TEST(Scheduler, EndsWhatIsCancelledOrLateAtOnce) {
  auto model = tiny_model(DType::f32);
  TimePoint now{};
  Scheduler scheduler(*model, {.max_sequences = 2, .clock = [&] { return now; }});
  std::vector<Answer> answers(4);
  std::vector<std::optional<Finish>> ends(4);
  std::vector<RequestId> ids;
  for (size_t i = 0; i < answers.size(); ++i) {
    SequenceRequest r = request(30, i, answers[i]);
    r.max_tokens = 50;
    if (i == 1) r.deadline = now + std::chrono::seconds(1);
    if (i == 3) r.deadline = now + std::chrono::seconds(2);
    r.on_finish = [&ends, i](const Finish& finish) { ends[i] = finish; };
    if (i == 0) {
      r.on_token = [&](const GeneratedToken& token) {
        answers[0].ids.push_back(token.id);
        if (answers[0].ids.size() == 3) {
          EXPECT_TRUE(scheduler.cancel(ids[0]));
        }
        return true;
      };
    }
    ids.push_back(scheduler.submit(std::move(r)));
  }
  EXPECT_TRUE(scheduler.cancel(ids[2]));
  EXPECT_FALSE(scheduler.cancel(ids[2]));
  ASSERT_TRUE(ends[2].has_value());
  for (int i = 0; i < 6; ++i) scheduler.step();
  ASSERT_TRUE(ends[0].has_value());
  EXPECT_EQ(ends[0]->reason, FinishReason::cancelled);
  EXPECT_EQ(answers[0].ids.size(), 3u);
  EXPECT_FALSE(ends[1].has_value());
  now += std::chrono::milliseconds(1500);
  scheduler.step();
  ASSERT_TRUE(ends[1].has_value());
  EXPECT_EQ(ends[1]->reason, FinishReason::deadline);
  EXPECT_GT(answers[1].ids.size(), 0u);
  scheduler.run();
  ASSERT_TRUE(ends[3].has_value());
  EXPECT_EQ(ends[3]->reason, FinishReason::length);  // the clock stood still
  EXPECT_FALSE(scheduler.cancel(ids[3]));
  EXPECT_EQ(scheduler.state().used_blocks, 0);
}

TEST(Scheduler, LetsThousandRequestsOfOneClientStarveNobody) {
  auto model = tiny_model(DType::f32, 32);
  Scheduler scheduler(*model, {.max_sequences = 4});
  std::vector<Answer> crowd(200);
  int64_t finished = 0;
  for (size_t i = 0; i < crowd.size(); ++i) {
    SequenceRequest r = request(20, i, crowd[i]);
    r.client = "many";
    r.on_finish = [&](const Finish&) { ++finished; };
    scheduler.submit(std::move(r));
  }
  for (int i = 0; i < 5; ++i) scheduler.step();
  Answer answer;
  SequenceRequest r = request(20, 7, answer);
  r.client = "one";
  scheduler.submit(std::move(r));
  scheduler.step();
  EXPECT_EQ(answer.ids.size(), 1u);  // at once, in the place of one of the many
  while (answer.ids.size() < 20) ASSERT_TRUE(scheduler.step());
  EXPECT_LE(finished, 8);
  scheduler.run();
  EXPECT_EQ(finished, 200);
  EXPECT_TRUE(answer == alone(*model, 20, 7));
}

TEST(Scheduler, SharesTokensEquallyBetweenClients) {
  auto model = tiny_model(DType::f32, 32);
  Scheduler scheduler(*model, {.tokens_per_batch = 64, .max_sequences = 4});
  std::vector<Answer> answers(300);
  std::map<std::string, int64_t> served;
  size_t next = 0;
  // One asks for much at a time, the other for little, and both always for more.
  auto ask = [&](const std::string& client, size_t length) {
    SequenceRequest r = request(length, next, answers[next]);
    ++next;
    r.client = client;
    r.reuse_prefix = false;
    r.on_finish = [&served, client](const Finish& finish) {
      served[client] += finish.prompt_tokens + finish.generated_tokens;
    };
    scheduler.submit(std::move(r));
  };
  for (int i = 0; i < 60; ++i) ask("long", 300);
  for (int i = 0; i < 200; ++i) ask("short", 30);
  while (served["short"] < 8000) ASSERT_TRUE(scheduler.step());
  // At most what four sequences have had that are not counted as they have not ended.
  EXPECT_NEAR(static_cast<double>(served["long"]), 8000, 4 * 320 + 64);
}

TEST(Scheduler, PutsHigherPrioritiesFirst) {
  auto model = tiny_model(DType::f32, 32);
  Scheduler scheduler(*model, {.max_sequences = 2});
  std::vector<Answer> answers(6);
  std::vector<size_t> order;
  for (size_t i = 0; i < answers.size(); ++i) {
    SequenceRequest r = request(20, i, answers[i]);
    r.priority = i < 4 ? 0 : 1;
    r.on_finish = [&order, i](const Finish&) { order.push_back(i); };
    if (i == 4) {
      for (int step = 0; step < 3; ++step) scheduler.step();
    }
    scheduler.submit(std::move(r));
  }
  scheduler.run();
  ASSERT_EQ(order.size(), 6u);
  EXPECT_EQ(order[0] + order[1], 9u);
  EXPECT_EQ(scheduler.state().preemptions, 2);
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_TRUE(answers[i] == alone(*model, 20, i));
}

TEST(Scheduler, GuessesRightWhereATextRepeatsItself) {
  auto model = tiny_model(DType::f32);
  // The clock stands still: how much is guessed does not depend on the machine.
  Scheduler plain(*model);
  Scheduler speculative(*model, {.max_draft_tokens = 6, .clock = [] { return TimePoint(); }});
  auto repeating = [&](Answer& answer) {
    SequenceRequest r = request(20, 3, answer);
    r.sampling.temperature = 0;
    r.sampling.logit_bias = {{5, 1000}};  // says the same again and again
    r.max_tokens = 100;
    return r;
  };
  Answer expected, got;
  run_one(plain, repeating(expected));
  const Finish finish = run_one(speculative, repeating(got));
  EXPECT_TRUE(got == expected);
  EXPECT_GT(finish.accepted_tokens, 50);
  EXPECT_LT(speculative.state().batches, 60);
  EXPECT_EQ(plain.state().batches, 100);
  SequenceRequest refusing = repeating(got);
  refusing.speculate = false;
  EXPECT_EQ(run_one(speculative, std::move(refusing)).drafted_tokens, 0);
}

TEST(Scheduler, KeepsWhatADraftModelGuessesRight) {
  auto model = tiny_model(DType::f32);
  auto same = tiny_model(DType::bf16), other = tiny_model(DType::f32, 32);
  for (Model* draft : {same.get(), other.get()}) {
    Scheduler scheduler(
        *model, {.max_draft_tokens = 4, .draft_model = draft, .clock = [] { return TimePoint(); }});
    std::vector<Answer> got(5);
    std::vector<Finish> ends(5);
    std::vector<int32_t> accepted;
    for (size_t i = 0; i < got.size(); ++i) {
      SequenceRequest r = request(30 + i, i, got[i]);
      if (i == 4) r.constraint = std::make_unique<EveryThird>(100, &accepted);
      r.on_finish = [&ends, i](const Finish& finish) { ends[i] = finish; };
      scheduler.submit(std::move(r));
    }
    scheduler.run();
    for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(got[i] == alone(*model, 30 + i, i));
    EXPECT_GT(ends[0].drafted_tokens, 0);
    if (draft == same.get()) {
      EXPECT_GT(scheduler.state().accepted_tokens, scheduler.state().drafted_tokens / 2);
      EXPECT_GT(ends[4].accepted_tokens, 0);
    }
  }
  auto narrow = initialized_model(
      [&] {
        ModelConfig config = model->config();
        config.vocab_size = 100;
        return config;
      }(),
      1);
  EXPECT_THROW(Scheduler(*model, {.max_draft_tokens = 4, .draft_model = narrow.get()}), Error);
}

/// Of families; MiniMax has experts and states, Qwen3.5 states of another kind.
class Decoding : public testing::TestWithParam<const char*> {};

TEST_P(Decoding, AllocatesNothing) {
  auto model = tiny_model(DType::bf16, 64, GetParam());
  Scheduler scheduler(*model);
  std::vector<Answer> answers(4);
  for (size_t i = 0; i < answers.size(); ++i) {
    SequenceRequest r = request(5, i, answers[i]);
    r.max_tokens = 50;
    r.top_log_probabilities = 3;
    r.on_token = [](const GeneratedToken&) { return true; };
    scheduler.submit(std::move(r));
  }
  for (int i = 0; i < 32; ++i) scheduler.step();
  const size_t before = allocated_bytes();
  for (int i = 0; i < 10; ++i) scheduler.step();
  EXPECT_EQ(allocated_bytes() - before, 0u);
}

INSTANTIATE_TEST_SUITE_P(Families, Decoding,
                         testing::Values("llama", "gpt2", "minimax", "minimax_m3_vl_text",
                                         "qwen3_5_text"));

}  // namespace
}  // namespace millrace
