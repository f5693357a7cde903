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
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
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
  for (const Candidate& candidate : candidates) total += candidate.probability;
  return total;
}

/// `best` is the id of the greatest logit.
void collect(std::span<const float> logits, int32_t best, float temperature,
             Candidates& candidates) {
  const double inverse = 1.0 / static_cast<double>(temperature);
  const float top = logits[static_cast<size_t>(best)];
  candidates.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    double probability = std::exp(static_cast<double>(logits[id] - top) * inverse);
    // What is below 1e-12 of the best is never drawn; so written, a NaN goes too.
    if (probability > 1e-12) {
      candidates.push_back({static_cast<int32_t>(id), logits[id], probability});
    }
  }
}

void keep_top_k(size_t k, Candidates& candidates) {
  if (k == 0 || k >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<int64_t>(k),
                   candidates.end(), likelier);
  candidates.resize(k);
}

/// Locally typical sampling: those whose surprise is nearest to the entropy.
void keep_typical(float typical_p, Candidates& candidates) {
  if (typical_p >= 1) return;
  const double total = total_of(candidates);
  double entropy = 0;
  for (const Candidate& c : candidates) {
    entropy -= c.probability / total * std::log(c.probability / total);
  }
  auto distance = [&](const Candidate& c) {
    return std::abs(-std::log(c.probability / total) - entropy);
  };
  std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
    const double x = distance(a), y = distance(b);
    return x != y ? x < y : a.id < b.id;
  });
  double sum = 0;
  size_t count = 0;
  while (count < candidates.size() && sum < static_cast<double>(typical_p) * total) {
    sum += candidates[count++].probability;
  }
  candidates.resize(std::max<size_t>(count, 1));
}

void keep_top_p(float top_p, Candidates& candidates) {
  if (top_p >= 1) return;
  const double wanted = static_cast<double>(top_p) * total_of(candidates);
  double sum = 0;
  size_t sorted = 0, count = 0;
  while (count < candidates.size() && sum < wanted) {
    if (count == sorted) {
      // Only as many as are needed: a few dozen of tens of thousands, as a rule.
      sorted = std::min(candidates.size(), std::max<size_t>(64, sorted * 4));
      std::partial_sort(candidates.begin() + static_cast<int64_t>(count),
                        candidates.begin() + static_cast<int64_t>(sorted), candidates.end(),
                        likelier);
    }
    sum += candidates[count++].probability;
  }
  candidates.resize(std::max<size_t>(count, 1));
}

void keep_min_p(float min_p, Candidates& candidates) {
  double best = 0;
  for (const Candidate& c : candidates) best = std::max(best, c.probability);
  std::erase_if(candidates, [&](const Candidate& c) {
    return c.probability < static_cast<double>(min_p) * best;
  });
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

int32_t Sampler::draw(std::span<const float> logits, int32_t best) {
  collect(logits, best, options_.temperature, candidates_);
  keep_top_k(static_cast<size_t>(options_.top_k), candidates_);
  keep_typical(options_.typical_p, candidates_);
  keep_top_p(options_.top_p, candidates_);
  keep_min_p(options_.min_p, candidates_);
  double at = random_.uniform() * total_of(candidates_);
  for (const Candidate& candidate : candidates_) {
    at -= candidate.probability;
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
  const int32_t id = options_.temperature == 0 ? best : draw(logits, best);
  log_probability_ = before_changes(id, logits[static_cast<size_t>(id)]) - log_total;
  if (options_.repetition_penalty != 1) seen_.insert(id);
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) ++generated_[id];
  return id;
}

}  // namespace millrace
