// The context: what a model family asks for. One context evaluates, the other also goes back.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "millrace/graph/batch.h"
#include "millrace/graph/ops/attention.h"
#include "millrace/graph/ops/routing.h"
#include "millrace/graph/parameter.h"
#include "millrace/kernels/activation.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/delta_rule.h"
#include "millrace/kernels/linear_attention.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// An activation: [rows, width] in f32, and where it stands on the tape (−1: nowhere).
struct Value {
  Tensor data;
  int node = -1;

  int64_t rows() const { return data.shape()[0]; }
  int64_t width() const { return data.shape()[1]; }
};

/// What a router decided: the weights [tokens, chosen] of the experts, and who computes which rows.
struct Routed {
  Value weights;
  Dispatch dispatch;
};

/// Where a layer has its states: which of the layers that have some it is, and how many numbers of
/// other states of the layer come first.
struct StatePlace {
  int64_t layer = 0;
  int64_t begin = 0;
};

/// DeltaInputs as values.
struct DeltaValues {
  Value q, k, v, decay, beta;
};

/// Runs the operators that a family's forward function is written in. Every operator treats each
/// row alone, but for attention, which sees the earlier rows of the same sequence.
class Context {
 public:
  explicit Context(const RaggedBatch& batch);
  virtual ~Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const RaggedBatch& batch() const { return batch_; }

  /// Applies the adapter's additions in every `linear` from now on; null for none.
  void set_adapter(const LowRankMap* adapter) { adapter_ = adapter; }
  /// The same for each sequence of the batch alone: adapters[i], or none where null, is added to
  /// the rows of sequence i. Only for evaluation; the span must outlive the context.
  void set_adapters(std::span<const LowRankMap* const> adapters);

  /// What follows computes a part of every sequence: values have the rows of `part_rows(part)`.
  void set_part(Part part) { part_ = part; }
  /// Which rows of the batch are in a part, and where its sequences begin.
  const PartRows& part_rows(Part part) const { return parts_[static_cast<size_t>(part)]; }

  /// What follows computes these rows of the part, in ascending order; all of them where empty. So
  /// adapters know whose they are.
  void set_rows(std::span<const int64_t> rows) { rows_ = rows; }

  /// Rows `ids` of `table` [entries, width] → [ids, width].
  virtual Value embed(const Parameter& table, std::span<const int32_t> ids) = 0;

  /// x·Wᵀ + b, W [out, in], b [out] or null, with the adapter's addition where it has one.
  Value linear(const Value& x, const Parameter& weight, const Parameter* bias = nullptr);

  /// Several of them for the same x, which share work: `auto [q, k, v] = linears<3>(x, …)`.
  struct Linear {
    const Parameter& weight;
    const Parameter* bias = nullptr;
  };
  template <size_t kCount>
  std::array<Value, kCount> linears(const Value& x, const Linear (&parts)[kCount]) {
    std::array<Value, kCount> ys;
    products(x, parts, ys);
    for (size_t i = 0; i < kCount; ++i) add_low_rank(x, parts[i].weight, ys[i]);
    return ys;
  }

  /// x / rms(x) · w (Zhang & Sennrich 2019). Where w is shorter than a row, it norms every run of
  /// its length alone: the heads of a row.
  virtual Value rms_norm(const Value& x, const Parameter& weight, float eps) = 0;
  /// x / rms(x), of every run of `width` values of a row alone.
  virtual Value unit_norm(const Value& x, int64_t width, float eps) = 0;
  /// (x − mean) / std · w + b (Ba et al. 2016); b may be null.
  virtual Value layer_norm(const Value& x, const Parameter& weight, const Parameter* bias,
                           float eps) = 0;

  /// Turns the heads of x [tokens, heads · head_dim] by positions (Su et al. 2021).
  virtual Value rope(const Value& x, const Rotation& how) = 0;

  /// The rows of x [tokens, width] times what QueryGrowth has at their positions.
  virtual Value grow(const Value& x, const QueryGrowth& how) = 0;

  /// Attention of each token to its own sequence: q [tokens, num_heads · head_dim], k and v
  /// [tokens, num_kv_heads · head_dim]. `layer` says whose keys and values the cache holds; those
  /// of prefixes are held for attention of what is behind them, not for their own.
  virtual Value attention(int64_t layer, const Value& q, const Value& k, const Value& v,
                          const AttentionShape& shape, const AttentionExtras& extras = {}) = 0;

  /// Chooses the keys that attention shall see, by an indexer's queries q [tokens, num_heads ·
  /// head_dim], its keys k [tokens, head_dim] and, unless its heads choose alone, weights [tokens,
  /// num_heads]. `layer` says whose keys the cache holds. A choice has no gradient.
  virtual KeySelection select_keys(int64_t layer, const KeySelector& how, const Value& q,
                                   const Value& k, const Value* weights) = 0;
  /// The last choice, which that of `layer` must be, for other layers to see the same keys.
  virtual KeySelection selected_keys(int64_t layer) const = 0;

  /// Lightning attention (Qin et al. 2024): each head's state decays and takes k^T v with every
  /// token, whose output is q times it; q, k, v [tokens, num_heads · head_dim]. `layer` says which
  /// of a sequence's states, counting the layers that have one.
  virtual Value linear_attention(int64_t layer, const Value& q, const Value& k, const Value& v,
                                 const LinearAttentionShape& shape) = 0;

  /// The gated delta rule (Yang et al. 2024): each head's state decays and takes what a value has
  /// that it does not give for the value's key; the output is the query times it.
  virtual Value delta_rule(const StatePlace& place, const DeltaValues& in,
                           const DeltaShape& shape) = 0;
  /// Each channel of x [tokens, width] from it and the tokens before, as many as weight [width,
  /// kernel] says.
  virtual Value causal_convolution(const StatePlace& place, const Value& x,
                                   const Parameter& weight) = 0;
  /// exp(−exp(log_rate) · log(1 + exp(x + bias))): how much of a state is kept. log_rate [heads],
  /// bias [width].
  virtual Value decay(const Value& x, const Parameter& log_rate, const Parameter& bias) = 0;
  /// x · length / √(Σ x² + eps), of every run of `width` numbers in a row.
  virtual Value l2_norm(const Value& x, int64_t width, float eps, float length) = 0;

  virtual Value add(const Value& a, const Value& b) = 0;
  virtual Value scale(const Value& x, float factor) = 0;
  virtual Value activate(const Value& x, Activation activation) = 0;
  /// activation(gate) · up (Shazeer 2020).
  virtual Value glu(Activation activation, const Value& gate, const Value& up) = 0;
  virtual Value clamped_glu(const ClampedGlu& shape, const Value& gate, const Value& up) = 0;
  /// Each run of x [rows, n · width] times its weight, weights [rows, n].
  virtual Value weigh_runs(const Value& x, const Value& weights) = 0;
  /// x [rows, width] · scale + bias, scale's numbers each for an equal part of a row; bias [width].
  virtual Value scale_and_shift(const Value& x, const Parameter& scale, const Parameter& bias) = 0;
  /// The sum of the n runs of x [rows, n · width], and x [rows, width] n times side by side.
  virtual Value sum_runs(const Value& x, int64_t n) = 0;
  virtual Value repeat_runs(const Value& x, int64_t n) = 0;
  /// Every column of x times its number in w.
  virtual Value scale_columns(const Value& x, const Parameter& weight) = 0;
  /// The rows of x at the magnitude that those of `of` have: x · rms(of) / rms(x), where rms(x) is
  /// no less than `least`.
  virtual Value with_magnitude(const Value& x, const Value& of, float least) = 0;
  /// What is in x above its row's mean and `deviations` standard deviations; else 0 (gemma 3n).
  virtual Value outliers(const Value& x, float deviations) = 0;
  /// Mixtures of the streams of `width` values that stand side by side in the rows of x: the i-th
  /// of y is Σⱼ (coefficients[i · streams + j] + plus) · the j-th of x.
  virtual Value mix(const Value& x, int64_t width, const Value& coefficients, float plus) = 0;
  /// Columns [begin, end) of x.
  virtual Value columns(const Value& x, int64_t begin, int64_t end) = 0;
  /// The given rows of x, in the given order.
  virtual Value gather_rows(const Value& x, std::span<const int64_t> rows) = 0;

  /// A value of zeros.
  virtual Value zeros(int64_t rows, int64_t width) = 0;
  /// y with x in its columns from `begin` on, into which nothing was put before. In y's own memory,
  /// so that one is not to be used any more.
  virtual Value with_columns(const Value& y, int64_t begin, const Value& x) = 0;
  /// A copy of x with y in the given rows, which ascend.
  virtual Value with_rows(const Value& x, std::span<const int64_t> rows, const Value& y) = 0;

  /// Chooses the experts of each row by a router's logits [tokens, num_experts]; `selection_bias`
  /// [num_experts] may be null.
  virtual Routed route(const Value& logits, const Routing& how,
                       const Parameter* selection_bias = nullptr) = 0;
  /// The weights of choices times the number in `scales` [num_experts] of the expert chosen.
  virtual Routed scale_choices(const Routed& routed, const Parameter& scales) = 0;
  /// Adds to `sum` [tokens, width] what an expert made of its rows, y [its rows, width], times
  /// their weights, and returns it. In `sum`'s own memory, so that one is not to be used any more.
  virtual Value add_expert(const Value& sum, const Value& y, const Routed& routed,
                           int64_t expert) = 0;

  /// One layer of a model: calls `body(*this, x)`. A recording context may forget what happens
  /// within and run it again on the way back, so `body` must be a pure function of x and of values
  /// that were made outside of blocks.
  using Body = std::function<Value(Context&, const Value&)>;
  virtual Value block(const Value& x, const Body& body) { return body(*this, x); }

 protected:
  Part part() const { return part_; }
  /// Where the sequences begin in the rows of the part.
  std::span<const int64_t> sequence_begin() const {
    return part_ == Part::whole ? batch_.sequence_begin : part_rows(part_).sequence_begin;
  }
  virtual Value product(const Value& x, const Parameter& weight, const Parameter* bias) = 0;
  virtual void products(const Value& x, std::span<const Linear> parts, std::span<Value> ys);

 private:
  /// Adds the adapters' additions to y = x·Wᵀ where they have one.
  void add_low_rank(const Value& x, const Parameter& weight, Value& y);
  void add_low_rank_to_sequences(const Value& x, const Parameter& weight, Value& y);
  /// Where in x the rows of the part's from `row` on begin.
  int64_t row_of(int64_t row, const Value& x, const Parameter& weight) const;

  const RaggedBatch& batch_;
  std::array<PartRows, 3> parts_;  // the whole has no list of rows
  Part part_ = Part::whole;
  const LowRankMap* adapter_ = nullptr;          // of the whole batch
  std::span<const LowRankMap* const> adapters_;  // of each sequence; empty: none
  std::span<const int64_t> rows_;                // of the part; empty: all
};

}  // namespace millrace
