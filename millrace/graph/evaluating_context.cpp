#include "millrace/graph/evaluating_context.h"

#include <algorithm>
#include <cstring>

#include "millrace/graph/ops/attention.h"
#include "millrace/graph/ops/embedding.h"
#include "millrace/graph/ops/linear.h"
#include "millrace/graph/ops/norm.h"
#include "millrace/graph/ops/recurrence.h"
#include "millrace/graph/ops/runs.h"
#include "millrace/graph/ops/streams.h"
#include "millrace/graph/states.h"
#include "millrace/kernels/elementwise.h"

namespace millrace {

EvaluatingContext::EvaluatingContext(const RaggedBatch& batch, DType cache_dtype,
                                     Workspace& workspace)
    : Context(batch), workspace_(workspace), cache_dtype_(cache_dtype) {}

EvaluatingContext::EvaluatingContext(const RaggedBatch& batch, const CacheLayout& layout,
                                     std::span<const SequenceBlocks* const> sequences,
                                     Workspace& workspace, std::span<float* const> states)
    : Context(batch),
      workspace_(workspace),
      cache_dtype_(layout.dtype),
      layout_(&layout),
      sequences_(sequences),
      states_(states) {
  require(static_cast<int64_t>(sequences.size()) == batch.num_sequences(),
          "{} caches for a batch of {} sequences", sequences.size(), batch.num_sequences());
}

Value EvaluatingContext::embed(const Parameter& table, std::span<const int32_t> ids) {
  Value y = fresh(static_cast<int64_t>(ids.size()), table.shape[1]);
  embedding_forward(table, ids, y.data);
  return y;
}

Value EvaluatingContext::product(const Value& x, const Parameter& weight, const Parameter* bias) {
  Value y = fresh(x.rows(), weight.shape[0]);
  linear_forward(x.data, weight, bias, y.data);
  return y;
}

void EvaluatingContext::products(const Value& x, std::span<const Linear> parts,
                                 std::span<Value> ys) {
  const bool packed = std::all_of(parts.begin(), parts.end(),
                                  [](const Linear& part) { return part.weight.is_packed(); });
  if (!packed) return Context::products(x, parts, ys);
  std::array<Product, 4> each;
  require(parts.size() <= each.size(), "{} products at once", parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    ys[i] = fresh(x.rows(), parts[i].weight.shape[0]);
    each[i] = {&parts[i].weight.packed, ys[i].data.f32().data(), ys[i].width()};
  }
  matmul(view(x.data), {each.data(), parts.size()});
  for (size_t i = 0; i < parts.size(); ++i) add_bias(parts[i].bias, ys[i].data);
}

Value EvaluatingContext::rms_norm(const Value& x, const Parameter& weight, float eps) {
  Value y = fresh(x.rows(), x.width());
  NormStatistics none;
  rms_norm_forward(x.data, weight, eps, y.data, none);
  return y;
}

Value EvaluatingContext::unit_norm(const Value& x, int64_t width, float eps) {
  Value y = fresh(x.rows(), x.width());
  NormStatistics none;
  unit_norm_forward(x.data, width, eps, workspace_.activations, y.data, none);
  return y;
}

Value EvaluatingContext::layer_norm(const Value& x, const Parameter& weight, const Parameter* bias,
                                    float eps) {
  Value y = fresh(x.rows(), x.width());
  NormStatistics none;
  layer_norm_forward(x.data, weight, bias, eps, y.data, none);
  return y;
}

Value EvaluatingContext::rope(const Value& x, const Rotation& how) {
  Value y = fresh(x.rows(), x.width());
  std::memcpy(y.data.data(), x.data.data(), x.data.bytes());
  rope_in_place(how, batch().sequence_begin, y.data);
  return y;
}

Value EvaluatingContext::grow(const Value& x, const QueryGrowth& how) {
  Value y = fresh(x.rows(), x.width());
  std::memcpy(y.data.data(), x.data.data(), x.data.bytes());
  grow_in_place(how, batch().positions, y.data);
  return y;
}

Value EvaluatingContext::attention(int64_t layer, const Value& q, const Value& k, const Value& v,
                                   const AttentionShape& plain, const AttentionExtras& extras) {
  const AttentionShape shape = with_extras(plain, extras, workspace_.distance_biases);
  std::vector<AttentionSegment>& segments = workspace_.segments;
  if (layout_ != nullptr && part() != Part::prefix) {
    cached_segments(batch(), *layout_, sequences_, layer, workspace_.pages, segments);
  } else {
    workspace_.scratch_pages.segments(batch(), part(), page_bytes(shape, cache_dtype_), segments);
  }
  Value out = fresh(q.rows(), q.width());
  Tensor no_log_sum_exp;
  segments_of(batch(), part(), extras, segments, workspace_.stored);
  attend(shape, cache_dtype_, workspace_.stored, segments, q.data, k.data, v.data, out.data,
         no_log_sum_exp);
  return out;
}

KeySelection EvaluatingContext::select_keys(int64_t layer, const KeySelector& how, const Value& q,
                                            const Value& k, const Value* weights) {
  const DType dtype = KeySelector::key_dtype(cache_dtype_);
  std::vector<AttentionSegment>& segments = workspace_.segments;
  if (layout_ != nullptr) {
    cached_segments(batch(), *layout_, sequences_, layer, workspace_.pages, segments);
  } else {
    workspace_.scratch_pages.segments(batch(), part(), page_bytes(how.shape(), dtype), segments);
  }
  selection_layer_ = layer;
  selection_ = millrace::select_keys(how, dtype, segments, q.data, k.data,
                                     weights ? &weights->data : nullptr, workspace_.selected_keys);
  return selection_;
}

KeySelection EvaluatingContext::selected_keys(int64_t layer) const {
  require(layer == selection_layer_, "layer {} chose no keys last", layer);
  return selection_;
}

Tensor EvaluatingContext::state_segments(const StatePlace& place, int64_t size) {
  std::vector<StateSegment>& segments = workspace_.state_segments;
  if (layout_ == nullptr) {
    return scratch_states(batch(), size, workspace_.activations, segments);
  }
  cached_states(batch(), *layout_, states_, place.layer, place.begin, size, segments);
  return {};
}

Value EvaluatingContext::linear_attention(int64_t layer, const Value& q, const Value& k,
                                          const Value& v, const LinearAttentionShape& shape) {
  const Tensor held = state_segments({layer}, shape.state_size());
  Value out = fresh(q.rows(), q.width());
  linear_attention_forward(shape, workspace_.state_segments, TimeDirection::forward,
                           q.data.f32().data(), k.data.f32().data(), v.data.f32().data(),
                           out.data.f32().data());
  return out;
}

Value EvaluatingContext::delta_rule(const StatePlace& place, const DeltaValues& in,
                                    const DeltaShape& shape) {
  const Tensor held = state_segments(place, shape.state_size());
  Value out = fresh(in.v.rows(), in.v.width());
  delta_rule_forward(shape, workspace_.state_segments,
                     {in.q.data, in.k.data, in.v.data, in.decay.data, in.beta.data}, out.data);
  return out;
}

Value EvaluatingContext::causal_convolution(const StatePlace& place, const Value& x,
                                            const Parameter& weight) {
  const Tensor held = state_segments(place, convolution_shape(weight).state_size());
  Value y = fresh(x.rows(), x.width());
  causal_convolution_forward(workspace_.state_segments, x.data, weight, y.data);
  return y;
}

Value EvaluatingContext::decay(const Value& x, const Parameter& log_rate, const Parameter& bias) {
  Value y = fresh(x.rows(), x.width());
  decay_forward(x.data, log_rate, bias, y.data);
  return y;
}

Value EvaluatingContext::l2_norm(const Value& x, int64_t width, float eps, float length) {
  Value y = fresh(x.rows(), x.width());
  Tensor weight = fresh(1, width).data;
  NormStatistics none;
  l2_norm_forward(x.data, eps, length, weight, y.data, none);
  return y;
}

Value EvaluatingContext::add(const Value& a, const Value& b) {
  Value y = fresh(a.rows(), a.width());
  millrace::add(a.data.f32().data(), b.data.f32().data(), y.data.count(), y.data.f32().data());
  return y;
}

Value EvaluatingContext::scale(const Value& x, float factor) {
  Value y = fresh(x.rows(), x.width());
  millrace::scale(x.data.f32().data(), factor, y.data.count(), y.data.f32().data());
  return y;
}

Value EvaluatingContext::activate(const Value& x, Activation activation) {
  Value y = fresh(x.rows(), x.width());
  activation_forward(activation, x.data.f32().data(), y.data.count(), y.data.f32().data());
  return y;
}

Value EvaluatingContext::glu(Activation activation, const Value& gate, const Value& up) {
  Value y = fresh(gate.rows(), gate.width());
  glu_forward(activation, gate.data.f32().data(), up.data.f32().data(), y.rows(), y.width(),
              y.width(), y.data.f32().data());
  return y;
}

Value EvaluatingContext::clamped_glu(const ClampedGlu& shape, const Value& gate, const Value& up) {
  Value y = fresh(gate.rows(), gate.width());
  clamped_glu_forward(shape, gate.data.f32().data(), up.data.f32().data(), y.data.count(),
                      y.data.f32().data());
  return y;
}

Value EvaluatingContext::weigh_runs(const Value& x, const Value& weights) {
  Value y = fresh(x.rows(), x.width());
  weigh_runs_forward(x.data, weights.data, y.data);
  return y;
}

Value EvaluatingContext::scale_and_shift(const Value& x, const Parameter& scale,
                                         const Parameter& bias) {
  Value y = fresh(x.rows(), x.width());
  scale_and_shift_forward(x.data, scale, bias, y.data);
  return y;
}

Value EvaluatingContext::sum_runs(const Value& x, int64_t n) {
  Value y = fresh(x.rows(), x.width() / n);
  millrace::sum_runs(x.data, y.data);
  return y;
}

Value EvaluatingContext::repeat_runs(const Value& x, int64_t n) {
  Value y = fresh(x.rows(), x.width() * n);
  millrace::repeat_runs(x.data, y.data);
  return y;
}

Value EvaluatingContext::scale_columns(const Value& x, const Parameter& weight) {
  Value y = fresh(x.rows(), x.width());
  scale_columns_forward(x.data, weight, y.data);
  return y;
}

Value EvaluatingContext::with_magnitude(const Value& x, const Value& of, float least) {
  Value y = fresh(x.rows(), x.width());
  with_magnitude_forward(x.data, of.data, least, y.data);
  return y;
}

Value EvaluatingContext::outliers(const Value& x, float deviations) {
  Value y = fresh(x.rows(), x.width());
  outliers_forward(x.data, deviations, y.data);
  return y;
}

Value EvaluatingContext::mix(const Value& x, int64_t width, const Value& coefficients, float plus) {
  Value y = fresh(x.rows(), mixed_width(x.data, width, coefficients.data));
  mix_forward(x.data, width, coefficients.data, plus, y.data);
  return y;
}

Value EvaluatingContext::columns(const Value& x, int64_t begin, int64_t end) {
  Value y = fresh(x.rows(), end - begin);
  columns_forward(x.data, begin, y.data);
  return y;
}

Value EvaluatingContext::gather_rows(const Value& x, std::span<const int64_t> rows) {
  Value y = fresh(static_cast<int64_t>(rows.size()), x.width());
  gather_rows_forward(x.data, rows, y.data);
  return y;
}

Value EvaluatingContext::zeros(int64_t rows, int64_t width) {
  return {workspace_.activations.take_zeroed(rows, width)};
}

Value EvaluatingContext::with_columns(const Value& y, int64_t begin, const Value& x) {
  Value result = y;
  put_columns(x.data, begin, result.data);
  return result;
}

Value EvaluatingContext::with_rows(const Value& x, std::span<const int64_t> rows, const Value& y) {
  Value result = fresh(x.rows(), x.width());
  put_rows(x.data, rows, y.data, result.data);
  return result;
}

Routed EvaluatingContext::route(const Value& logits, const Routing& how,
                                const Parameter* selection_bias) {
  Routing serving = how;
  if (!how.drops_when_serving) serving.capacity = 0;
  for (size_t s = 0; serving.capacity > 0 && s + 1 < batch().sequence_begin.size(); ++s) {
    require(batch().positions[static_cast<size_t>(batch().sequence_begin[s])] == 0,
            "experts of limited capacity need whole sequences");
  }
  Choice choice = route_forward(logits.data, serving, vector_data(selection_bias), sequence_begin(),
                                workspace_.activations);
  return {{choice.weights}, choice.dispatch};
}

Routed EvaluatingContext::scale_choices(const Routed& routed, const Parameter& scales) {
  Value weights = fresh(routed.weights.rows(), routed.weights.width());
  scale_choices_forward(routed.weights.data, routed.dispatch, scales, weights.data);
  return {weights, routed.dispatch};
}

Value EvaluatingContext::add_expert(const Value& sum, const Value& y, const Routed& routed,
                                    int64_t expert) {
  Value result = sum;
  add_expert_forward(y.data, routed.weights.data, routed.dispatch, expert, result.data);
  return result;
}

}  // namespace millrace
