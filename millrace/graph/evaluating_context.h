// The evaluating context: runs a model, with or without a cache of keys and values.
#pragma once

#include <span>
#include <vector>

#include "millrace/graph/activations.h"
#include "millrace/graph/context.h"
#include "millrace/graph/pages.h"

namespace millrace {

/// What an evaluating context works in; kept between batches so that nothing is allocated anew.
struct Workspace {
  Activations activations;
  ScratchPages scratch_pages;
  std::vector<std::byte*> pages;
  std::vector<AttentionSegment> segments, stored;
  std::vector<float> distance_biases;
  std::vector<uint64_t> selected_keys;
  std::vector<StateSegment> state_segments;
};

class EvaluatingContext final : public Context {
 public:
  /// Sequences begin at position 0 and leave nothing behind. `cache_dtype` is what keys and values
  /// are rounded to.
  EvaluatingContext(const RaggedBatch& batch, DType cache_dtype, Workspace& workspace);

  /// Sequence i of the batch continues what `sequences[i]` holds; its keys and values are added.
  /// Where layers have states, states[i] are those of sequence i, and change. The layout and the
  /// spans must outlive the context.
  EvaluatingContext(const RaggedBatch& batch, const CacheLayout& layout,
                    std::span<const SequenceBlocks* const> sequences, Workspace& workspace,
                    std::span<float* const> states = {});

  Value embed(const Parameter& table, std::span<const int32_t> ids) override;
  Value rms_norm(const Value& x, const Parameter& weight, float eps) override;
  Value unit_norm(const Value& x, int64_t width, float eps) override;
  Value layer_norm(const Value& x, const Parameter& weight, const Parameter* bias,
                   float eps) override;
  Value rope(const Value& x, const Rotation& how) override;
  Value grow(const Value& x, const QueryGrowth& how) override;
  Value attention(int64_t layer, const Value& q, const Value& k, const Value& v,
                  const AttentionShape& shape, const AttentionExtras& extras) override;
  KeySelection select_keys(int64_t layer, const KeySelector& how, const Value& q, const Value& k,
                           const Value* weights) override;
  KeySelection selected_keys(int64_t layer) const override;
  Value linear_attention(int64_t layer, const Value& q, const Value& k, const Value& v,
                         const LinearAttentionShape& shape) override;
  Value delta_rule(const StatePlace& place, const DeltaValues& in,
                   const DeltaShape& shape) override;
  Value causal_convolution(const StatePlace& place, const Value& x,
                           const Parameter& weight) override;
  Value decay(const Value& x, const Parameter& log_rate, const Parameter& bias) override;
  Value l2_norm(const Value& x, int64_t width, float eps, float length) override;
  Value add(const Value& a, const Value& b) override;
  Value scale(const Value& x, float factor) override;
  Value activate(const Value& x, Activation activation) override;
  Value glu(Activation activation, const Value& gate, const Value& up) override;
  Value clamped_glu(const ClampedGlu& shape, const Value& gate, const Value& up) override;
  Value weigh_runs(const Value& x, const Value& weights) override;
  Value scale_and_shift(const Value& x, const Parameter& scale, const Parameter& bias) override;
  Value sum_runs(const Value& x, int64_t n) override;
  Value repeat_runs(const Value& x, int64_t n) override;
  Value scale_columns(const Value& x, const Parameter& weight) override;
  Value with_magnitude(const Value& x, const Value& of, float least) override;
  Value outliers(const Value& x, float deviations) override;
  Value mix(const Value& x, int64_t width, const Value& coefficients, float plus) override;
  Value columns(const Value& x, int64_t begin, int64_t end) override;
  Value gather_rows(const Value& x, std::span<const int64_t> rows) override;
  Value zeros(int64_t rows, int64_t width) override;
  Value with_columns(const Value& y, int64_t begin, const Value& x) override;
  Value with_rows(const Value& x, std::span<const int64_t> rows, const Value& y) override;
  Routed route(const Value& logits, const Routing& how, const Parameter* selection_bias) override;
  Routed scale_choices(const Routed& routed, const Parameter& scales) override;
  Value add_expert(const Value& sum, const Value& y, const Routed& routed, int64_t expert) override;

 protected:
  Value product(const Value& x, const Parameter& weight, const Parameter* bias) override;
  void products(const Value& x, std::span<const Linear> parts, std::span<Value> ys) override;

 private:
  /// Puts the sequences' states in the workspace's segments; the memory of those that have no
  /// cache.
  Tensor state_segments(const StatePlace& place, int64_t size);
  Value fresh(int64_t rows, int64_t width) { return {workspace_.activations.take(rows, width)}; }

  Workspace& workspace_;
  DType cache_dtype_;
  const CacheLayout* layout_ = nullptr;  // null: there is no cache
  std::span<const SequenceBlocks* const> sequences_;
  std::span<float* const> states_;
  KeySelection selection_;  // the last, in the workspace
  int64_t selection_layer_ = -1;
};

}  // namespace millrace
