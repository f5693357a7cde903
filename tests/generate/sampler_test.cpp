// What is drawn, how often, beside distributions computed in the plainest way.
#include "millrace/generate/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "millrace/base/error.h"
#include "millrace/kernels/loss.h"

namespace millrace {
namespace {

using Distribution = std::vector<double>;

std::vector<float> some_logits(size_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = static_cast<float>(3 * random.normal());
  return logits;
}

std::vector<size_t> by_probability(const Distribution& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  return order;
}

void normalise(Distribution& p) {
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= total;
}

/// Keeps the first of `order` until `wanted` of the probability is there.
void keep_until(double wanted, const std::vector<size_t>& order, Distribution& p) {
  double sum = 0;
  for (size_t id : order) {
    if (sum >= wanted) p[id] = 0;
    sum += p[id];
  }
  normalise(p);
}

Distribution expected(const std::vector<float>& logits, const SamplingOptions& options) {
  Distribution p(logits.size());
  const double top = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < p.size(); ++i) p[i] = std::exp((logits[i] - top) / options.temperature);
  normalise(p);
  if (options.top_k > 0) {
    const std::vector<size_t> order = by_probability(p);
    for (size_t i = static_cast<size_t>(options.top_k); i < p.size(); ++i) p[order[i]] = 0;
    normalise(p);
  }
  if (options.typical_p < 1) {
    double entropy = 0;
    for (double x : p) entropy -= x > 0 ? x * std::log(x) : 0;
    Distribution nearness(p.size());
    for (size_t i = 0; i < p.size(); ++i) nearness[i] = -std::abs(-std::log(p[i]) - entropy);
    keep_until(options.typical_p, by_probability(nearness), p);
  }
  if (options.top_p < 1) keep_until(options.top_p, by_probability(p), p);
  const double best = *std::max_element(p.begin(), p.end());
  for (double& x : p) x = x < options.min_p * best ? 0 : x;
  normalise(p);
  return p;
}

int32_t next(Sampler& sampler, std::vector<float> logits, std::span<const uint64_t> allowed = {}) {
  const float total = log_sum_exp(logits.data(), static_cast<int64_t>(logits.size()));
  return sampler.next(logits, total, allowed);
}

/// How often each token came among many.
Distribution drawn(const std::vector<float>& logits, const SamplingOptions& options, int draws) {
  Sampler sampler(options, {});
  Distribution p(logits.size());
  for (int i = 0; i < draws; ++i) p[static_cast<size_t>(next(sampler, logits))] += 1.0 / draws;
  return p;
}

TEST(Sampler, DrawsEachTokenAsOftenAsItsProbabilitySays) {
  std::vector<SamplingOptions> cases(9);
  cases[1].temperature = 0.5f;
  cases[2].top_k = 5;
  cases[3].top_p = 0.7f;
  cases[4].min_p = 0.1f;
  cases[5].typical_p = 0.6f;
  cases[6].top_k = 20, cases[6].top_p = 0.9f, cases[6].temperature = 2;
  cases[7].top_p = 0.95f, cases[7].min_p = 0.05f;
  cases[8].typical_p = 0.9f, cases[8].top_p = 0.8f, cases[8].min_p = 0.02f;
  constexpr int kDraws = 6000;
  for (size_t vocab : {37u, 700u}) {
    const std::vector<float> logits = some_logits(vocab, 5);
    for (size_t i = 0; i < cases.size(); ++i) {
      cases[i].seed = i;
      const Distribution p = expected(logits, cases[i]), seen = drawn(logits, cases[i], kDraws);
      for (size_t id = 0; id < vocab; ++id) {
        const double error = std::sqrt(p[id] * (1 - p[id]) / kDraws);
        const double rare = p[id] > 0 ? 4.0 / kDraws : 0;  // what hardly ever comes may come once
        ASSERT_NEAR(seen[id], p[id], 5 * error + rare) << "case " << i << ", token " << id;
      }
    }
  }
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowestOfEquals) {
  SamplingOptions options;
  options.temperature = 0;
  Sampler sampler(options, {});
  EXPECT_EQ(next(sampler, {1, 4, 4, 2}), 1);
  EXPECT_NEAR(sampler.log_probability(), -std::log(2 + std::exp(-3.0) + std::exp(-2.0)), 1e-6);
}

TEST(Sampler, FiltersAtTheirEndsKeepTheBest) {
  const std::vector<float> logits = some_logits(300, 4);
  const auto best =
      static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (int which = 0; which < 3; ++which) {
    SamplingOptions options;
    if (which == 0) options.top_p = 0;
    if (which == 1) options.top_k = 1;
    if (which == 2) options.min_p = 1;
    Sampler sampler(options, {});
    for (int i = 0; i < 20; ++i) EXPECT_EQ(next(sampler, logits), best) << which;
  }
}

TEST(Sampler, NeverDrawsWhatIsNotAllowed) {
  const std::vector<float> logits = some_logits(130, 3);
  const std::vector<uint64_t> allowed = {0, uint64_t{1} << 7 | uint64_t{1} << 9, 2};
  for (int which = 0; which < 5; ++which) {
    SamplingOptions options;
    if (which == 1) options.top_k = 50;
    if (which == 2) options.top_p = 0.5f;
    if (which == 3) options.typical_p = 0.5f;
    if (which == 4) options.temperature = 0;
    Sampler sampler(options, {});
    for (int i = 0; i < 300; ++i) {
      const int32_t id = next(sampler, logits, allowed);
      EXPECT_TRUE(id == 71 || id == 73 || id == 129) << id;
    }
  }
}

TEST(Sampler, PenaltiesAndBiasesMoveLogitsButNotLogProbabilities) {
  SamplingOptions options;
  options.temperature = 0;
  options.repetition_penalty = 2;
  options.presence_penalty = 0.5f;
  options.frequency_penalty = 0.25f;
  options.logit_bias = {{3, 2.0f}};
  const std::vector<int32_t> prompt = {0};
  Sampler sampler(options, prompt);
  const std::vector<float> logits = {4, 3, 2.5f, 0.9f};  // 0 counts as 2, 3 as 2.9
  const double total = std::log(std::exp(4.0) + std::exp(3.0) + std::exp(2.5) + std::exp(0.9));
  EXPECT_EQ(next(sampler, logits), 1);
  EXPECT_NEAR(sampler.log_probability(), 3 - total, 1e-5);
  EXPECT_EQ(next(sampler, logits), 3);  // 1 counts as 3 / 2 - 0.75
  EXPECT_NEAR(sampler.log_probability(), 0.9 - total, 1e-5);
  EXPECT_EQ(next(sampler, logits), 2);  // 3 counts as 0.9 / 2 - 0.75 + 2
}

TEST(Sampler, RefusesLogitsThatAreNoNumbersAndConstraintsThatAllowNothing) {
  Sampler sampler({}, {});
  EXPECT_THROW(next(sampler, {1, std::numeric_limits<float>::quiet_NaN()}), Error);
  const std::vector<uint64_t> nothing = {0};
  EXPECT_THROW(next(sampler, {1, 2}, nothing), Error);
}

TEST(Sampler, DrawsTheSameForTheSameSeed) {
  const std::vector<float> logits = some_logits(500, 8);
  SamplingOptions options;
  options.seed = 3;
  Sampler one(options, {}), other(options, {});
  options.seed = 4;
  Sampler third(options, {});
  int differ = 0;
  for (int i = 0; i < 50; ++i) {
    const int32_t id = next(one, logits);
    EXPECT_EQ(id, next(other, logits));
    differ += id != next(third, logits);
  }
  EXPECT_GT(differ, 10);
}

}  // namespace
}  // namespace millrace
