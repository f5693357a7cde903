// The recording context: runs a model and can go back, filling the gradients of its parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "millrace/graph/activations.h"
#include "millrace/graph/context.h"
#include "millrace/graph/ops/linear.h"
#include "millrace/graph/pages.h"
#include "millrace/graph/parameter.h"

namespace millrace {

/// What a recording context works in; kept between batches so that nothing is allocated anew.
struct TrainingWorkspace {
  Activations activations;
  ScratchPages scratch_pages;
  PackedInput packed_input;
};

struct RecordingOptions {
  /// Keys and values are rounded to it, as when serving. Going back, queries and the inputs of
  /// activations are too, which halves what the tape holds of them.
  DType cache_dtype = DType::bf16;
  bool recompute = false;           ///< forget what happens within a block, run it again going back
  RouterLosses router_losses = {};  ///< added to the mean loss of the scored tokens
};

/// Gradients go into the parameters that are trained (Parameter::trained); operators on whose
/// inputs no trained parameter has a bearing are not recorded.
class RecordingContext final : public Context {
 public:
  RecordingContext(const RaggedBatch& batch, const RecordingOptions& options,
                   TrainingWorkspace& workspace);

  /// The cross entropy of the head's logits, and at once scale · Σ losses back through all that was
  /// recorded: gradients are added to those of the trained parameters. targets [tokens], −1 where
  /// not scored; losses [tokens] in nats.
  void backward(const Value& hidden, const Head& head, std::span<const int32_t> targets,
                float scale, std::span<float> losses);
  /// From any value whose gradient is known, for tests and other losses.
  void backward(const Value& output, const Tensor& gradient);

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
  Value block(const Value& x, const Body& body) override;

  /// What the routers of all layers did.
  const RouterUse& router_use() const { return router_use_; }

  /// A value that nothing recorded leads to, but whose gradient is wanted.
  Value leaf(Tensor data);
  /// The gradient of a leaf after `backward`; empty when nothing reached it.
  const Tensor& gradient(const Value& leaf) const;

 protected:
  Value product(const Value& x, const Parameter& weight, const Parameter* bias) override;

 private:
  /// Called with the gradient of the node's output.
  using GoBack = std::function<void(const Tensor& dy)>;
  /// Computes the node's output again, to the bit, from what its GoBack holds anyway.
  using Remake = std::function<void(Tensor& y)>;
  struct Node {
    Tensor gradient;
    GoBack go_back;
    Remake remake;  ///< null for what takes more than a pass over memory
  };

  /// Where a gradient goes: an input's place on the tape and its shape. What goes back holds this
  /// instead of the input where it needs no values, so that their memory returns early.
  struct Target {
    int node;
    int64_t rows, width;
    Target(const Value& x) : node(x.node), rows(x.rows()), width(x.width()) {}  // NOLINT: implicit
  };

  Tensor fresh(int64_t rows, int64_t width) { return workspace_.activations.take(rows, width); }
  /// Puts an operator's output on the tape.
  Value record(Tensor y, GoBack go_back, Remake remake = nullptr);
  /// What to hold of an input whose values going back needs: nothing where it can be remade.
  Tensor to_hold(const Value& x) const;
  /// The values of an input, of which `held` was held.
  Tensor recall(const Target& x, const Tensor& held);
  /// x rounded to the cache's type and held in it, and back as f32.
  Tensor hold_rounded(const Tensor& x);
  Tensor widen(const Tensor& held);
  /// Whether an operator with this input must be recorded.
  bool wanted(const Value& x) const { return recording_ && x.node >= 0; }
  bool wanted(const Parameter* parameter) const {
    return recording_ && parameter != nullptr && parameter->trained();
  }
  /// Lets `write(dx, accumulate)` give its part of x's gradient, where that is wanted.
  template <typename Write>
  void give(const Target& x, Write&& write);
  /// The same for an operator whose gradient of x and of its weights come from one function: where
  /// x's is not wanted, it is written to memory that is dropped.
  template <typename Write>
  void give_or_drop(const Target& x, Write&& write);
  /// Adds a gradient to x's; the first one is shared, not copied.
  void give_tensor(const Target& x, const Tensor& dx);
  /// The tensor, or a copy when another holds its bytes, to be written.
  Tensor own(const Tensor& tensor);
  /// Goes back over the nodes above `floor`, the latest first, and takes them off the tape.
  void unwind(size_t floor);
  /// All the way, gradients being there where it begins.
  void go_back();
  void forget_remade();

  TrainingWorkspace& workspace_;
  RecordingOptions options_;
  std::vector<Node> tape_;
  Tensor remade_;         // the last output that was computed again
  int remade_node_ = -1;  // and its place on the tape
  bool recording_ = true;
  bool going_back_ = false;  // what is run again is not counted again
  /// Bits of selections and their sizes, which attention holds to go back.
  std::map<int64_t, std::pair<KeySelection, std::vector<uint64_t>>> selections_;
  RouterUse router_use_;
  float loss_scale_ = 1;  // of a mean loss of the batch
};

}  // namespace millrace
