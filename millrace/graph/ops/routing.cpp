#include "millrace/graph/ops/routing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/loss.h"

namespace millrace {
namespace {

constexpr int64_t kRowsAPart = 16;

/// The scores of one row that can still be chosen.
struct Candidates {
  std::array<float, kMaxExperts> scores;
  std::array<bool, kMaxExperts> out;

  /// The best of experts [begin, end); it is out then. The first one where scores are NaN.
  int64_t take_best(int64_t begin, int64_t end) {
    int64_t best = -1;
    for (int64_t e = begin; e < end; ++e) {
      if (out[static_cast<size_t>(e)]) continue;
      if (best < 0 || scores[static_cast<size_t>(e)] > scores[static_cast<size_t>(best)]) best = e;
    }
    out[static_cast<size_t>(best)] = true;
    return best;
  }
};

float group_score(const Candidates& all, int64_t begin, int64_t end, int64_t count) {
  Candidates group = all;
  float sum = 0;
  for (int64_t i = 0; i < std::min(count, end - begin); ++i) {
    sum += group.scores[static_cast<size_t>(group.take_best(begin, end))];
  }
  return sum;
}

/// Takes the experts of all but the best groups out.
void keep_best_groups(const Routing& how, Candidates& candidates) {
  if (how.top_groups >= how.groups) return;
  const int64_t size = how.num_experts / how.groups;
  Candidates groups;
  for (int64_t g = 0; g < how.groups; ++g) {
    groups.out[static_cast<size_t>(g)] = false;
    groups.scores[static_cast<size_t>(g)] =
        group_score(candidates, g * size, (g + 1) * size, how.group_best);
  }
  for (int64_t i = 0; i < how.top_groups; ++i) groups.take_best(0, how.groups);
  for (int64_t e = 0; e < how.num_experts; ++e) {
    candidates.out[static_cast<size_t>(e)] = !groups.out[static_cast<size_t>(e / size)];
  }
}

void score_row(const Routing& how, const float* logits, float* scores) {
  if (how.score == RouterScore::softmax) {
    const int64_t size = how.num_experts / how.prototypes;
    for (int64_t e = 0; e < how.num_experts; e += size) softmax(logits + e, size, scores + e);
    return;
  }
  for (int64_t e = 0; e < how.num_experts; ++e) scores[e] = 1 / (1 + std::exp(-logits[e]));
}

void choose_row(const Routing& how, const float* scores, const float* selection_bias,
                int32_t* experts, float* weights) {
  Candidates candidates;
  for (int64_t e = 0; e < how.num_experts; ++e) {
    candidates.scores[static_cast<size_t>(e)] =
        scores[e] + (selection_bias ? selection_bias[e] : 0);
    candidates.out[static_cast<size_t>(e)] = false;
  }
  keep_best_groups(how, candidates);
  const int64_t size = how.num_experts / how.prototypes;
  for (int64_t c = 0; c < how.chosen(); ++c) {
    const int64_t begin = c / how.top_k * size;
    const int64_t expert = candidates.take_best(begin, begin + size);
    experts[c] = static_cast<int32_t>(expert);
    weights[c] = scores[expert];
  }
}

/// What weights are multiplied by.
float weight_factor(const Routing& how, float sum) {
  return how.normalized ? how.scale / std::max(sum, how.least_sum) : how.scale;
}

float sum_of(const float* values, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

/// Drops from each sequence what its experts have no room for: the expert becomes -1.
void drop_beyond_capacity(const Routing& how, std::span<const int64_t> sequence_begin,
                          Tensor& experts, Tensor& weights) {
  const int64_t chosen = how.chosen();
  std::vector<int64_t> taken(static_cast<size_t>(how.num_experts));
  for (size_t s = 0; s + 1 < sequence_begin.size(); ++s) {
    std::fill(taken.begin(), taken.end(), 0);
    for (int64_t c = 0; c < chosen; ++c) {
      for (int64_t row = sequence_begin[s]; row < sequence_begin[s + 1]; ++row) {
        const auto place = static_cast<size_t>(row * chosen + c);
        int32_t& expert = experts.as<int32_t>()[place];
        if (++taken[static_cast<size_t>(expert)] <= how.capacity) continue;
        expert = -1;
        weights.f32()[place] = 0;
      }
    }
  }
}

/// Counting sort of the places by expert.
Dispatch dispatch_of(const Tensor& experts, int64_t num_experts, Activations& activations) {
  const std::span<const int32_t> chosen = experts.as<int32_t>();
  const auto count = static_cast<int64_t>(chosen.size());
  Dispatch dispatch{activations.take(1, num_experts + 1, DType::i64),
                    activations.take(1, count, DType::i64), activations.take(1, count, DType::i64)};
  const std::span<int64_t> begin = dispatch.begin.as<int64_t>();
  std::fill(begin.begin(), begin.end(), 0);
  for (int32_t expert : chosen) {
    if (expert >= 0) ++begin[static_cast<size_t>(expert) + 1];
  }
  for (size_t e = 1; e < begin.size(); ++e) begin[e] += begin[e - 1];
  // Filling moves each begin to its end, which is where the next one begins.
  for (size_t place = 0; place < chosen.size(); ++place) {
    if (chosen[place] < 0) continue;
    const auto at = static_cast<size_t>(begin[static_cast<size_t>(chosen[place])]++);
    dispatch.places.as<int64_t>()[at] = static_cast<int64_t>(place);
    dispatch.rows.as<int64_t>()[at] = static_cast<int64_t>(place) / experts.shape()[1];
  }
  for (size_t e = begin.size() - 1; e > 0; --e) begin[e] = begin[e - 1];
  begin[0] = 0;
  return dispatch;
}

/// dscores of the chosen, from dweights.
void weights_backward(const Routing& how, const float* dweights, const float* scores,
                      const int32_t* experts, float* dscores) {
  const int64_t chosen = how.chosen();
  float sum = 0, product = 0;
  for (int64_t c = 0; c < chosen; ++c) {
    sum += scores[experts[c]];
    product += dweights[c] * scores[experts[c]];
  }
  const float factor = weight_factor(how, sum);
  const float shared = how.normalized && sum > how.least_sum ? product / sum : 0;
  for (int64_t c = 0; c < chosen; ++c) {
    dscores[experts[c]] += factor * (dweights[c] - shared);
  }
}

/// dlogits, from dscores in the same memory.
void scores_backward(const Routing& how, const float* scores, float* d) {
  if (how.score == RouterScore::sigmoid) {
    for (int64_t e = 0; e < how.num_experts; ++e) d[e] *= scores[e] * (1 - scores[e]);
    return;
  }
  const int64_t size = how.num_experts / how.prototypes;
  for (int64_t begin = 0; begin < how.num_experts; begin += size) {
    float product = 0;
    for (int64_t e = begin; e < begin + size; ++e) product += d[e] * scores[e];
    for (int64_t e = begin; e < begin + size; ++e) d[e] = scores[e] * (d[e] - product);
  }
}

}  // namespace

Choice route_forward(const Tensor& logits, const Routing& how, const float* selection_bias,
                     std::span<const int64_t> sequence_begin, Activations& activations) {
  const int64_t rows = logits.shape()[0], chosen = how.chosen();
  Choice choice;
  choice.scores = activations.take(rows, how.num_experts);
  choice.experts = activations.take(rows, chosen, DType::i32);
  choice.weights = activations.take(rows, chosen);
  const float* in = logits.f32().data();
  float* scores = choice.scores.f32().data();
  float* weights = choice.weights.f32().data();
  int32_t* experts = choice.experts.as<int32_t>().data();
  parallel_ranges(rows, kRowsAPart, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* row_scores = scores + row * how.num_experts;
      float* row_weights = weights + row * chosen;
      score_row(how, in + row * how.num_experts, row_scores);
      choose_row(how, row_scores, selection_bias, experts + row * chosen, row_weights);
      scale(row_weights, weight_factor(how, sum_of(row_weights, chosen)), chosen, row_weights);
    }
  });
  Tensor computing = choice.experts;
  if (how.capacity > 0) {
    computing = choice.experts.clone();
    drop_beyond_capacity(how, sequence_begin, computing, choice.weights);
  }
  choice.dispatch = dispatch_of(computing, how.num_experts, activations);
  return choice;
}

void route_backward(const Tensor& dweights, const Choice& choice, const Routing& how,
                    Tensor& dlogits) {
  const int64_t chosen = how.chosen();
  const float* dw = dweights.f32().data();
  const float* scores = choice.scores.f32().data();
  const int32_t* experts = choice.experts.as<int32_t>().data();
  float* d = dlogits.f32().data();
  parallel_ranges(dlogits.shape()[0], kRowsAPart, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* row_scores = scores + row * how.num_experts;
      float* row_d = d + row * how.num_experts;
      std::fill_n(row_d, how.num_experts, 0.0f);
      weights_backward(how, dw + row * chosen, row_scores, experts + row * chosen, row_d);
      scores_backward(how, row_scores, row_d);
    }
  });
}

void add_expert_forward(const Tensor& y, const Tensor& weights, const Dispatch& dispatch,
                        int64_t expert, Tensor& sum) {
  const std::span<const int64_t> places = dispatch.places_of(expert);
  const std::span<const int64_t> rows = dispatch.rows_of(expert);
  const int64_t width = y.shape()[1];
  const float* in = y.f32().data();
  const float* by = weights.f32().data();
  float* out = sum.f32().data();
  parallel_ranges(y.shape()[0], kRowsAPart, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      add_scaled(in + i * width, by[places[at]], width, out + rows[at] * width);
    }
  });
}

void add_expert_backward(const Tensor& dsum, const Tensor& y, const Tensor& weights,
                         const Dispatch& dispatch, int64_t expert, Tensor& dy, Tensor& dweights) {
  const std::span<const int64_t> places = dispatch.places_of(expert);
  const std::span<const int64_t> rows = dispatch.rows_of(expert);
  const int64_t width = y.shape()[1];
  const float* d = dsum.f32().data();
  const float* values = y.f32().data();
  float* out = dy.f32().data();
  float* dw = dweights.f32().data();
  parallel_ranges(y.shape()[0], kRowsAPart, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<size_t>(i);
      const float* row = d + rows[at] * width;
      double dot = 0;
      for (int64_t j = 0; j < width; ++j) {
        dot += static_cast<double>(row[j]) * static_cast<double>(values[i * width + j]);
      }
      dw[places[at]] = static_cast<float>(dot);
      scale(row, weights.f32()[static_cast<size_t>(places[at])], width, out + i * width);
    }
  });
}

void scale_choices_forward(const Tensor& weights, const Dispatch& dispatch, const Parameter& scales,
                           Tensor& y) {
  std::ranges::fill(y.f32(), 0.0f);
  for (int64_t e = 0; e < scales.shape[0]; ++e) {
    const float by = scales.value.f32()[static_cast<size_t>(e)];
    for (int64_t i : dispatch.places_of(e)) {
      y.f32()[static_cast<size_t>(i)] = by * weights.f32()[static_cast<size_t>(i)];
    }
  }
}

void scale_choices_backward(const Tensor& dy, const Tensor& weights, const Dispatch& dispatch,
                            Parameter& scales, Tensor& dweights) {
  scale_choices_forward(dy, dispatch, scales, dweights);
  if (!scales.trained()) return;
  for (int64_t e = 0; e < scales.shape[0]; ++e) {
    double sum = 0;
    for (int64_t i : dispatch.places_of(e)) {
      const auto at = static_cast<size_t>(i);
      sum += static_cast<double>(dy.f32()[at]) * static_cast<double>(weights.f32()[at]);
    }
    scales.gradient.f32()[static_cast<size_t>(e)] += static_cast<float>(sum);
  }
}

void RouterUse::add(const Tensor& logits, const Choice& choice) {
  const auto experts = static_cast<size_t>(logits.shape()[1]);
  if (chosen.empty()) {
    chosen.resize(experts);
    probabilities.resize(experts);
  }
  require(chosen.size() == experts, "routers of {} and of {} experts in one model", chosen.size(),
          experts);
  std::vector<float> row(experts);
  for (int64_t r = 0; r < logits.shape()[0]; ++r) {
    const float* in = logits.f32().data() + r * logits.shape()[1];
    softmax(in, logits.shape()[1], row.data());
    for (size_t e = 0; e < experts; ++e) probabilities[e] += static_cast<double>(row[e]);
    const auto log_sum = static_cast<double>(log_sum_exp(in, logits.shape()[1]));
    squared_log_sums += log_sum * log_sum;
  }
  for (int32_t e : choice.experts.as<int32_t>()) ++chosen[static_cast<size_t>(e)];
  rows += static_cast<double>(logits.shape()[0]);
}

double RouterUse::balance_loss() const {
  double sum = 0;
  for (size_t e = 0; e < chosen.size(); ++e) sum += chosen[e] / rows * (probabilities[e] / rows);
  return sum * static_cast<double>(chosen.size());
}

double RouterUse::z_loss() const {
  return rows > 0 ? squared_log_sums / rows : 0;
}

void router_losses_backward(const Tensor& logits, const RouterUse& use, const RouterLosses& losses,
                            Tensor& dlogits) {
  const int64_t experts = logits.shape()[1];
  std::vector<float> by_expert(static_cast<size_t>(experts));  // dloss / dprobability
  const double factor = static_cast<double>(losses.balance) * static_cast<double>(experts);
  for (size_t e = 0; e < by_expert.size(); ++e) {
    by_expert[e] = static_cast<float>(factor * use.chosen[e] / use.rows / use.rows);
  }
  std::vector<float> p(by_expert.size());
  for (int64_t r = 0; r < logits.shape()[0]; ++r) {
    const float* in = logits.f32().data() + r * experts;
    float* out = dlogits.f32().data() + r * experts;
    softmax(in, experts, p.data());
    float product = 0;
    for (size_t e = 0; e < p.size(); ++e) product += by_expert[e] * p[e];
    const float z = 2 * losses.z * log_sum_exp(in, experts) / static_cast<float>(use.rows);
    for (size_t e = 0; e < p.size(); ++e) out[e] += p[e] * (by_expert[e] - product + z);
  }
}

}  // namespace millrace
