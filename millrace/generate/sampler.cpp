#include "millrace/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "millrace/base/error.h"
#include "millrace/kernels/loss.h"

namespace millrace {
namespace {

using Candidates = std::vector<Candidate>;

void check_range(float value, float low, float high, const char* name) {
  require(value >= low && value <= high, "{} is {}; it must be between {} and {}", name, value, low,
          high);
}

bool likelier(const Candidate& a, const Candidate& b) {
  return a.probability != b.probability ? a.probability > b.probability : a.id < b.id;
}

/// Ids without a bit get −infinity.
void forbid_others(std::span<const uint64_t> allowed, std::span<float> logits) {
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t bits = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    if (bits == ~uint64_t{0}) continue;
    const size_t end = std::min(logits.size(), begin + 64);
    for (size_t id = begin; id < end; ++id) {
      if ((bits >> (id - begin) & 1) == 0) logits[id] = -std::numeric_limits<float>::infinity();
    }
  }
}

double total_of(const Candidates& candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += double{candidate.probability};
  return total;
}

constexpr size_t kBlock = 256;  // probabilities that are added up together
constexpr size_t kLanes = 16;

double block_total(std::span<const float> block) {
  double lanes[kLanes] = {};
  for (size_t i = 0; i < block.size(); i += kLanes) {
    const size_t count = std::min(kLanes, block.size() - i);
    for (size_t j = 0; j < count; ++j) lanes[j] += double{block[i + j]};
  }
  double total = 0;
  for (double lane : lanes) total += lane;
  return total;
}

/// The id at which the sum of the probabilities passes `at`.
int32_t draw_from_all(std::span<const float> relative, double at) {
  for (size_t begin = 0; begin < relative.size(); begin += kBlock) {
    const size_t left = relative.size() - begin;
    const double here = block_total(relative.subspan(begin, std::min(kBlock, left)));
    if (at >= here && left > kBlock) {
      at -= here;
      continue;
    }
    // To the end: rounding may leave something at the block's.
    int32_t last = 0;
    for (size_t id = begin; id < relative.size(); ++id) {
      if (relative[id] == 0) continue;
      last = static_cast<int32_t>(id);
      at -= double{relative[id]};
      if (at < 0) break;
    }
    return last;
  }
  return 0;
}

/// Locally typical sampling: those whose surprise is nearest to the entropy.
void keep_typical(float typical_p, Candidates& candidates) {
  if (typical_p >= 1) return;
  const double total = total_of(candidates);
  double entropy = 0;
  for (const Candidate& c : candidates) {
    entropy -= double{c.probability} / total * std::log(double{c.probability} / total);
  }
  auto distance = [&](const Candidate& c) {
    return std::abs(-std::log(double{c.probability} / total) - entropy);
  };
  std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
    const double x = distance(a), y = distance(b);
    return x != y ? x < y : a.id < b.id;
  });
  double sum = 0;
  size_t count = 0;
  while (count < candidates.size() && sum < static_cast<double>(typical_p) * total) {
    sum += double{candidates[count++].probability};
  }
  candidates.resize(std::max<size_t>(count, 1));
}

/// The fewest with `wanted` of the probability together, one at least.
void keep_top_p(double wanted, Candidates& candidates) {
  double sum = 0;
  size_t sorted = 0, count = 0;
  do {
    if (count == sorted) {
      // Only as many as are needed: a few dozen of tens of thousands, as a rule.
      sorted = std::min(candidates.size(), std::max<size_t>(64, sorted * 4));
      std::partial_sort(candidates.begin() + static_cast<int64_t>(count),
                        candidates.begin() + static_cast<int64_t>(sorted), candidates.end(),
                        likelier);
    }
    sum += double{candidates[count++].probability};
  } while (count < candidates.size() && sum < wanted);
  candidates.resize(count);
}

void keep_min_p(float min_p, Candidates& candidates) {
  float best = 0;
  for (const Candidate& c : candidates) best = std::max(best, c.probability);
  std::erase_if(candidates, [&](const Candidate& c) { return c.probability < min_p * best; });
}

}  // namespace

void validate(const SamplingOptions& options, int64_t vocab_size) {
  check_range(options.temperature, 0, 100, "temperature");
  check_range(options.top_p, 0, 1, "top_p");
  check_range(options.min_p, 0, 1, "min_p");
  check_range(options.typical_p, 0, 1, "typical_p");
  check_range(options.repetition_penalty, 0.01f, 100, "repetition_penalty");
  check_range(options.presence_penalty, -100, 100, "presence_penalty");
  check_range(options.frequency_penalty, -100, 100, "frequency_penalty");
  require(options.top_k >= 0, "top_k is {}; it must not be negative", options.top_k);
  for (const auto& [id, bias] : options.logit_bias) {
    require(id >= 0 && id < vocab_size, "logit_bias names the token {}; ids are 0 to {}", id,
            vocab_size - 1);
    check_range(bias, -1000, 1000, "logit_bias");
  }
}

Sampler::Sampler(SamplingOptions options, std::span<const int32_t> prompt)
    : options_(std::move(options)), random_(options_.seed) {
  if (options_.repetition_penalty != 1) seen_.insert(prompt.begin(), prompt.end());
}

void Sampler::set(std::span<float> logits, int32_t id, float value) {
  float& logit = logits[static_cast<size_t>(id)];
  unchanged_.emplace_back(id, logit);
  logit = value;
}

float Sampler::before_changes(int32_t id, float now) const {
  for (const auto& [changed, logit] : unchanged_) {
    if (changed == id) return logit;
  }
  return now;
}

void Sampler::change(std::span<float> logits) {
  unchanged_.clear();
  for (int32_t id : seen_) {
    const float logit = logits[static_cast<size_t>(id)];
    set(logits, id,
        logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty);
  }
  for (const auto& [id, count] : generated_) {
    const float penalty =
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
    set(logits, id, logits[static_cast<size_t>(id)] - penalty);
  }
  for (const auto& [id, bias] : options_.logit_bias) {
    set(logits, id, logits[static_cast<size_t>(id)] + bias);
  }
}

/// The k most likely, the most likely first.
void Sampler::collect_top_k(std::span<const float> logits) {
  likeliest(logits, 0, options_.top_k, top_);
  candidates_.clear();
  for (const TokenProbability& token : top_) {
    const float probability = relative_[static_cast<size_t>(token.id)];
    if (probability > 0) candidates_.push_back({token.id, probability});
  }
}

/// The tokens that may pass the filters; `total` is the sum of all probabilities.
void Sampler::collect(std::span<const float> logits, double total) {
  if (options_.top_k > 0) return collect_top_k(logits);
  double least = 1e-12;  // of the best: never drawn
  if (options_.typical_p >= 1) {
    // What is below these cannot be among the top p: all of it together is less than the rest.
    const auto vocab = static_cast<double>(logits.size());
    least = std::max(
        {least, double{options_.min_p}, (1 - double{options_.top_p}) * total / vocab * (1 - 1e-6)});
  }
  candidates_.clear();
  for (size_t id = 0; id < relative_.size(); ++id) {
    if (double{relative_[id]} < least) continue;
    candidates_.push_back({static_cast<int32_t>(id), relative_[id]});
  }
}

int32_t Sampler::draw(std::span<const float> logits) {
  relative_.resize(logits.size());
  double total = double{relative_probabilities(logits.data(), static_cast<int64_t>(logits.size()),
                                               options_.temperature, relative_.data())};
  const bool narrow = options_.typical_p < 1 || options_.top_p < 1 || options_.min_p > 0;
  if (options_.top_k == 0 && !narrow) return draw_from_all(relative_, random_.uniform() * total);
  collect(logits, total);
  keep_typical(options_.typical_p, candidates_);
  if (options_.top_k > 0 || options_.typical_p < 1) total = total_of(candidates_);
  if (options_.top_p < 1) keep_top_p(double{options_.top_p} * total, candidates_);
  keep_min_p(options_.min_p, candidates_);
  double at = random_.uniform() * total_of(candidates_);
  for (const Candidate& candidate : candidates_) {
    at -= double{candidate.probability};
    if (at < 0) return candidate.id;
  }
  return candidates_.back().id;
}

int32_t Sampler::next(std::span<float> logits, float log_total, std::span<const uint64_t> allowed) {
  const auto vocab = static_cast<int64_t>(logits.size());
  require(std::isfinite(log_total), "the model's logits are not finite numbers");
  change(logits);
  if (!allowed.empty()) forbid_others(allowed, logits);
  const int32_t best = argmax(logits.data(), vocab);
  require(std::isfinite(logits[static_cast<size_t>(best)]), "the constraint allows no token");
  const int32_t id = options_.temperature == 0 ? best : draw(logits);
  log_probability_ = before_changes(id, logits[static_cast<size_t>(id)]) - log_total;
  if (options_.repetition_penalty != 1) seen_.insert(id);
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) ++generated_[id];
  return id;
}

}  // namespace millrace
