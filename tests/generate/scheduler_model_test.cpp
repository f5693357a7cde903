// Random requests, cancels, priorities, deadlines and too little memory, with an injected clock:
// every answer is the one that is computed alone, or the beginning of it, and everything ends.
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/scheduler.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> log_probabilities, prompt_log_probabilities;
  std::vector<TokenProbability> top;
  std::optional<Finish> finish;

  bool operator==(const Answer& other) const {
    return ids == other.ids && log_probabilities == other.log_probabilities &&
           prompt_log_probabilities == other.prompt_log_probabilities && top == other.top;
  }
};

template <typename T>
bool begins_with(const std::vector<T>& whole, const std::vector<T>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

void listen(SequenceRequest& request, Answer& answer) {
  request.on_prompt_token = [&answer](size_t index, const GeneratedToken& token) {
    EXPECT_EQ(index, answer.prompt_log_probabilities.size() + 1);
    answer.prompt_log_probabilities.push_back(token.log_probability);
    answer.top.insert(answer.top.end(), token.top.begin(), token.top.end());
  };
  request.on_token = [&answer](const GeneratedToken& token) {
    EXPECT_FALSE(answer.finish.has_value());
    answer.ids.push_back(token.id);
    answer.log_probabilities.push_back(token.log_probability);
    answer.top.insert(answer.top.end(), token.top.begin(), token.top.end());
    return true;
  };
  request.on_finish = [&answer](const Finish& finish) {
    EXPECT_FALSE(answer.finish.has_value());
    answer.finish = finish;
  };
}

/// The kinds of requests that the tests choose from. Prompts begin with one of three texts.
constexpr uint64_t kKinds = 40;

SequenceRequest kind(uint64_t number) {
  Random random(number);
  SequenceRequest request;
  const uint64_t lengths[] = {1, 5, 63, 64, 65, 100, 128, 129, 200};
  Random text(random.below(3));
  for (uint64_t i = lengths[random.below(std::size(lengths))]; i > 0; --i) {
    request.prompt.push_back(static_cast<int32_t>(text.below(kTinyVocabulary)));
  }
  for (uint64_t i = random.below(30); i > 0; --i) {
    request.prompt.push_back(static_cast<int32_t>(random.below(kTinyVocabulary)));
  }
  request.max_tokens = 1 + static_cast<int64_t>(random.below(40));
  request.sampling.temperature = random.below(3) == 0 ? 0.0f : 0.9f;
  request.sampling.repetition_penalty = random.below(4) == 0 ? 1.2f : 1.0f;
  request.sampling.frequency_penalty = random.below(4) == 0 ? 0.5f : 0.0f;
  request.sampling.seed = number;
  request.prompt_log_probabilities = random.below(5) == 0;
  if (request.prompt_log_probabilities && random.below(3) == 0) request.max_tokens = 0;
  request.top_log_probabilities = random.below(4) == 0 ? 3 : 0;
  return request;
}

std::vector<Answer> each_alone(Model& model) {
  std::vector<Answer> answers(kKinds);
  for (uint64_t i = 0; i < kKinds; ++i) {
    Scheduler scheduler(model, {.max_sequences = 1, .share_prefixes = false});
    SequenceRequest request = kind(i);
    listen(request, answers[i]);
    scheduler.submit(std::move(request));
    scheduler.run();
  }
  return answers;
}

struct Coverage {
  int64_t preemptions = 0, cached = 0, cancelled = 0, late = 0, whole = 0, accepted = 0;
};

void run_random_requests(Model& model, Model& draft, const std::vector<Answer>& expected,
                         uint64_t seed, Coverage& coverage) {
  Random random(seed);
  TimePoint now{};
  SchedulerOptions options;
  options.max_positions = kPageSize * static_cast<int64_t>(5 + random.below(8));
  options.tokens_per_batch = 1 + static_cast<int64_t>(random.below(100));
  options.max_sequences = 1 + static_cast<int64_t>(random.below(8));
  options.share_prefixes = random.below(4) != 0;
  options.max_draft_tokens = random.below(2) == 0 ? 0 : 4;
  options.draft_model = random.below(2) == 0 ? nullptr : &draft;
  options.clock = [&now] { return now; };
  Scheduler scheduler(model, options);
  constexpr size_t kRequests = 40;
  std::vector<Answer> answers(kRequests);
  std::vector<uint64_t> kinds;
  std::vector<RequestId> ids;
  int64_t steps = 0;
  while (kinds.size() < kRequests || scheduler.step()) {
    ASSERT_LT(++steps, 200'000) << "never ends";
    now += std::chrono::milliseconds(1);
    if (kinds.size() < kRequests && random.below(4) == 0) {
      const uint64_t chosen = random.below(kKinds);
      SequenceRequest request = kind(chosen);
      request.client = std::string(1, static_cast<char>('a' + random.below(3)));
      request.priority = static_cast<int32_t>(random.below(8)) / 7;
      request.reuse_prefix = random.below(8) != 0;
      request.cache_scope = random.below(4) == 0 ? "own" : "";
      if (random.below(8) == 0) {
        request.deadline = now + std::chrono::milliseconds(random.below(200));
      }
      listen(request, answers[kinds.size()]);
      kinds.push_back(chosen);
      ids.push_back(scheduler.submit(std::move(request)));
    }
    if (random.below(60) == 0 && !ids.empty()) {
      const size_t i = random.below(ids.size());
      const bool ended = answers[i].finish.has_value();
      EXPECT_EQ(scheduler.cancel(ids[i]), !ended);
    }
  }
  for (size_t i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(answers[i].finish.has_value());
    const Answer& whole = expected[kinds[i]];
    const FinishReason reason = answers[i].finish->reason;
    coverage.cancelled += reason == FinishReason::cancelled;
    coverage.late += reason == FinishReason::deadline;
    if (reason == FinishReason::length || reason == FinishReason::stop) {
      ++coverage.whole;
      EXPECT_TRUE(answers[i] == whole) << "kind " << kinds[i];
    } else {
      EXPECT_NE(reason, FinishReason::failed) << answers[i].finish->error;
      EXPECT_TRUE(begins_with(whole.ids, answers[i].ids));
      EXPECT_TRUE(begins_with(whole.log_probabilities, answers[i].log_probabilities));
    }
  }
  const SchedulerState state = scheduler.state();
  EXPECT_EQ(state.waiting + state.running, 0);
  EXPECT_EQ(state.used_blocks, 0);
  coverage.preemptions += state.preemptions;
  coverage.cached += state.cached_prompt_tokens;
  coverage.accepted += state.accepted_tokens;
}

/// What `seeds` runs of random requests came across.
Coverage run_random_requests(Model& model, uint64_t seeds) {
  const int threads = num_threads();
  set_num_threads(1);  // its steps are too small to share
  auto draft = tiny_model(DType::bf16, 32);
  const std::vector<Answer> expected = each_alone(model);
  Coverage coverage;
  for (uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    run_random_requests(model, *draft, expected, seed, coverage);
  }
  set_num_threads(threads);
  return coverage;
}

TEST(RandomRequests, GetTheAnswersThatTheyGetAlone) {
  auto model = tiny_model(DType::f32, 32);
  const Coverage coverage = run_random_requests(*model, 20);
  EXPECT_GT(coverage.preemptions, 20);
  EXPECT_GT(coverage.cached, 1000);
  EXPECT_GT(coverage.cancelled, 10);
  EXPECT_GT(coverage.late, 10);
  EXPECT_GT(coverage.accepted, 300);
  EXPECT_GT(coverage.whole, 500);
}

// A state cannot go back: nothing is shared and nothing guessed, and who had to wait begins anew.
TEST(RandomRequests, GetTheSameAnswersWhereLayersHaveStates) {
  for (const char* family : {"minimax", "qwen3_5_text"}) {
    SCOPED_TRACE(family);
    auto model = tiny_model(DType::f32, 32, family);
    const Coverage coverage = run_random_requests(*model, 8);
    auto draft = tiny_model(DType::bf16, 32);
    EXPECT_THROW(Scheduler(*draft, {.max_draft_tokens = 4, .draft_model = model.get()}), Error);
    EXPECT_GT(coverage.preemptions, 5);
    EXPECT_EQ(coverage.cached, 0);
    EXPECT_EQ(coverage.accepted, 0);
    EXPECT_GT(coverage.whole, 100);
  }
}

// Keys are turned by a rope of the text's length: at 70, 140 and 280 tokens all is read anew.
TEST(RandomRequests, GetTheSameAnswersWhereRopeGrowsWithTheText) {
  auto model = tiny_model(DType::f32, 32, "llama-dynamic");
  const Coverage coverage = run_random_requests(*model, 8);
  EXPECT_GT(coverage.preemptions, 20);
  EXPECT_GT(coverage.cached, 500);
  EXPECT_GT(coverage.accepted, 100);
  EXPECT_GT(coverage.whole, 100);
}

TEST(GrowingRope, GoesOnAsIfTheAnswerHadBeenInThePrompt) {
  auto model = tiny_model(DType::f32, 32, "llama-dynamic");
  const auto answer = [&](std::vector<int32_t> prompt, int64_t tokens) {
    Scheduler scheduler(*model, {});
    SequenceRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = tokens;
    request.sampling.temperature = 0;
    Answer result;
    listen(request, result);
    scheduler.submit(std::move(request));
    scheduler.run();
    return result;
  };
  std::vector<int32_t> text;
  for (int32_t i = 0; i < 60; ++i) text.push_back(i * 7 % kTinyVocabulary);
  const Answer whole = answer(text, 20);
  ASSERT_EQ(whole.ids.size(), 20u);
  for (size_t i = 0; i < whole.ids.size(); ++i) {
    const Answer next = answer(text, 1);
    EXPECT_EQ(next.log_probabilities.front(), whole.log_probabilities[i]) << i;
    text.push_back(whole.ids[i]);
  }
}

}  // namespace
}  // namespace millrace
