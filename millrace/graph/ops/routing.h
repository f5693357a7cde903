// A router's choice: which experts compute which rows and with which weights, with its gradient.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "millrace/graph/activations.h"
#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// What makes scores of a router's logits.
enum class RouterScore : uint8_t { softmax, sigmoid };

/// How a row of router logits chooses experts and weighs them (mixture of experts, Shazeer et al.
/// 2017).
struct Routing {
  int64_t num_experts = 0;  ///< at most kMaxExperts
  int64_t top_k = 1;        ///< experts that a row goes to; the lowest index wins a tie
  RouterScore score = RouterScore::softmax;
  bool normalized = false;   ///< the weights of the chosen are divided by their sum,
  float least_sum = 1e-20f;  ///< but by no less than this
  float scale = 1;           ///< of the weights
  /// DeepSeek-V3's limit: the experts are `groups` groups, of which the `top_groups` best can be
  /// chosen from, a group being as good as the sum of its `group_best` best scores.
  int64_t groups = 1, top_groups = 1, group_best = 2;
  /// M6-T's expert prototyping (Yang et al. 2021): the experts are this many groups, each with a
  /// softmax of its own, and a row goes to the top_k of every one.
  int64_t prototypes = 1;
  /// Rows of a sequence that an expert takes in training, the first choices first (GShard, Lepikhin
  /// et al. 2020); more are dropped. 0: all.
  int64_t capacity = 0;
  bool drops_when_serving = false;  ///< capacity counts in evaluation too, of whole sequences

  /// Experts that a row goes to.
  int64_t chosen() const { return top_k * prototypes; }
};

inline constexpr int64_t kMaxExperts = 1024;

/// Which rows each expert computes. A place is row · chosen + rank of the choice.
struct Dispatch {
  Tensor begin;   ///< i64 [1, num_experts + 1]: where an expert's places begin in `places`
  Tensor places;  ///< i64 [1, rows · chosen]: of each expert, ascending; dropped ones are in none
  Tensor rows;    ///< i64 [1, rows · chosen]: the rows of `places`

  std::span<const int64_t> places_of(int64_t expert) const { return part(places, expert); }
  std::span<const int64_t> rows_of(int64_t expert) const { return part(rows, expert); }

 private:
  std::span<const int64_t> part(const Tensor& all, int64_t expert) const {
    const int64_t* at = begin.as<int64_t>().data() + expert;
    return all.as<int64_t>().subspan(static_cast<size_t>(at[0]),
                                     static_cast<size_t>(at[1] - at[0]));
  }
};

/// What route_forward decided. All of it is taken from the activations it was given.
struct Choice {
  Tensor scores;   ///< [rows, num_experts]
  Tensor experts;  ///< i32 [rows, chosen]: of each prototype the best first, dropped ones too
  Tensor weights;  ///< [rows, chosen]; 0 where the row is dropped
  Dispatch dispatch;
};

/// Routes logits [rows, num_experts]. `selection_bias` [num_experts] is added to scores where they
/// are compared, not to weights; it may be null. Sequence i has the rows from sequence_begin[i] on.
Choice route_forward(const Tensor& logits, const Routing& how, const float* selection_bias,
                     std::span<const int64_t> sequence_begin, Activations& activations);

/// dlogits [rows, num_experts] is written, dweights [rows, chosen] being that of Choice::weights, 0
/// where a row is dropped.
void route_backward(const Tensor& dweights, const Choice& choice, const Routing& how,
                    Tensor& dlogits);

/// sum[row] += weight · y[i] for an expert's i-th row: the product is rounded before the sum.
/// Experts are added in ascending order, so a row's bits depend on that row alone.
void add_expert_forward(const Tensor& y, const Tensor& weights, const Dispatch& dispatch,
                        int64_t expert, Tensor& sum);
/// dy [rows of the expert, width] is written, and the expert's places of dweights; those of others
/// stay.
void add_expert_backward(const Tensor& dsum, const Tensor& y, const Tensor& weights,
                         const Dispatch& dispatch, int64_t expert, Tensor& dy, Tensor& dweights);

/// y [rows, chosen] = weights times the number in `scales` [num_experts] of the expert that is
/// chosen; 0 where the row is dropped.
void scale_choices_forward(const Tensor& weights, const Dispatch& dispatch, const Parameter& scales,
                           Tensor& y);
/// dweights is written; the gradient of `scales`, where they are trained, is added to.
void scale_choices_backward(const Tensor& dy, const Tensor& weights, const Dispatch& dispatch,
                            Parameter& scales, Tensor& dweights);

/// What the losses of routers are made of: sums over the rows of all layers of a batch.
struct RouterUse {
  std::vector<double> chosen;         ///< [num_experts]: choices
  std::vector<double> probabilities;  ///< [num_experts]: softmax of the logits
  double squared_log_sums = 0;        ///< (log Σ exp logits)²
  double rows = 0;

  void add(const Tensor& logits, const Choice& choice);
  /// Switch Transformers' load-balancing loss (Fedus et al. 2021) over all layers: num_experts ·
  /// Σ_e (choices of e / rows) · (mean probability of e).
  double balance_loss() const;
  /// The router z-loss (Zoph et al. 2022): mean of (log Σ exp logits)².
  double z_loss() const;
};

/// How much of those losses is added to that of a training step.
struct RouterLosses {
  float balance = 0;
  float z = 0;

  bool any() const { return balance != 0 || z != 0; }
};

/// Adds the gradient of `losses` to dlogits, for one layer's logits of those that are in `use`.
void router_losses_backward(const Tensor& logits, const RouterUse& use, const RouterLosses& losses,
                            Tensor& dlogits);

}  // namespace millrace
