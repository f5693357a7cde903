#include "millrace/graph/recording_context.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "millrace/graph/ops/attention.h"
#include "millrace/graph/ops/embedding.h"
#include "millrace/graph/ops/linear.h"
#include "millrace/graph/ops/loss.h"
#include "millrace/graph/ops/norm.h"
#include "millrace/graph/ops/recurrence.h"
#include "millrace/graph/ops/runs.h"
#include "millrace/graph/ops/streams.h"
#include "millrace/graph/states.h"
#include "millrace/kernels/elementwise.h"

namespace millrace {
RecordingContext::RecordingContext(const RaggedBatch& batch, const RecordingOptions& options,
                                   TrainingWorkspace& workspace)
    : Context(batch), workspace_(workspace), options_(options) {}

Value RecordingContext::record(Tensor y, GoBack go_back, Remake remake) {
  tape_.push_back({Tensor(), std::move(go_back), std::move(remake)});
  return {std::move(y), static_cast<int>(tape_.size()) - 1};
}

Value RecordingContext::leaf(Tensor data) {
  return record(std::move(data), nullptr);
}

const Tensor& RecordingContext::gradient(const Value& leaf) const {
  return tape_[static_cast<size_t>(leaf.node)].gradient;
}

Tensor RecordingContext::own(const Tensor& tensor) {
  if (!Activations::shared(tensor)) return tensor;
  Tensor result = fresh(tensor.shape()[0], tensor.shape()[1]);
  copy(tensor.f32().data(), tensor.count(), result.f32().data());
  return result;
}

Tensor RecordingContext::to_hold(const Value& x) const {
  const bool remade = x.node >= 0 && tape_[static_cast<size_t>(x.node)].remake;
  return remade ? Tensor() : x.data;
}

Tensor RecordingContext::recall(const Target& x, const Tensor& held) {
  if (!held.empty()) return held;
  if (remade_node_ != x.node) {
    remade_ = fresh(x.rows, x.width);
    remade_node_ = x.node;
    tape_[static_cast<size_t>(x.node)].remake(remade_);
  }
  return remade_;
}

Tensor RecordingContext::hold_rounded(const Tensor& x) {
  if (options_.cache_dtype == DType::f32) return x;
  require(options_.cache_dtype == DType::bf16, "training with a cache of type {}",
          info(options_.cache_dtype).name);
  Tensor held = workspace_.activations.take(x.shape()[0], x.shape()[1], DType::bf16);
  to_bfloat16(x.f32().data(), x.count(), held.as<BFloat16>().data());
  return held;
}

Tensor RecordingContext::widen(const Tensor& held) {
  if (held.dtype() == DType::f32) return held;
  Tensor wide = fresh(held.shape()[0], held.shape()[1]);
  from_bfloat16(held.as<BFloat16>().data(), held.count(), wide.f32().data());
  return wide;
}

template <typename Write>
void RecordingContext::give(const Target& x, Write&& write) {
  if (x.node < 0) return;
  Tensor& gradient = tape_[static_cast<size_t>(x.node)].gradient;
  bool accumulate = !gradient.empty();
  gradient = accumulate ? own(gradient) : fresh(x.rows, x.width);
  write(gradient, accumulate);
}

template <typename Write>
void RecordingContext::give_or_drop(const Target& x, Write&& write) {
  if (x.node >= 0) return give(x, write);
  Tensor dropped = fresh(x.rows, x.width);
  write(dropped, false);
}

void RecordingContext::give_tensor(const Target& x, const Tensor& dx) {
  if (x.node < 0) return;
  Tensor& gradient = tape_[static_cast<size_t>(x.node)].gradient;
  if (gradient.empty()) {
    gradient = dx;
  } else {
    gradient = own(gradient);
    add_into(dx.f32().data(), dx.count(), gradient.f32().data());
  }
}

void RecordingContext::unwind(size_t floor) {
  while (tape_.size() > floor) {
    if (!tape_.back().go_back) {
      // A leaf: what lies below it waits, but its gradient must outlive this call.
      size_t leaves = tape_.size() - 1;
      while (leaves > floor && !tape_[leaves - 1].go_back) --leaves;
      require(leaves == floor, "a leaf was made after other operators were recorded");
      return;
    }
    Node node = std::move(tape_.back());
    tape_.pop_back();
    if (remade_node_ == static_cast<int>(tape_.size())) forget_remade();
    if (!node.gradient.empty()) node.go_back(node.gradient);
  }
}

void RecordingContext::forget_remade() {
  remade_ = {};
  remade_node_ = -1;
  workspace_.packed_input.input = {};
}

void RecordingContext::go_back() {
  going_back_ = true;
  unwind(0);
  going_back_ = false;
  forget_remade();
}

void RecordingContext::backward(const Value& output, const Tensor& gradient) {
  Tensor taken = fresh(gradient.shape()[0], gradient.shape()[1]);
  copy(gradient.f32().data(), gradient.count(), taken.f32().data());
  give_tensor(output, taken);
  loss_scale_ = 1;
  go_back();
}

void RecordingContext::backward(const Value& hidden, const Head& head,
                                std::span<const int32_t> targets, float scale,
                                std::span<float> losses) {
  Tensor dhidden;
  if (hidden.node >= 0) dhidden = fresh(hidden.rows(), hidden.width());
  head_loss_forward_backward(hidden.data, head, targets, scale, workspace_.activations, losses,
                             dhidden);
  if (hidden.node < 0) return;
  tape_[static_cast<size_t>(hidden.node)].gradient = std::move(dhidden);
  loss_scale_ = scale * static_cast<float>(std::ranges::count_if(
                            targets, [](int32_t target) { return target >= 0; }));
  go_back();
}

Value RecordingContext::embed(const Parameter& table, std::span<const int32_t> ids) {
  Tensor y = fresh(static_cast<int64_t>(ids.size()), table.shape[1]);
  embedding_forward(table, ids, y);
  if (!wanted(&table)) return {y};
  return record(y, [&table, kept = std::vector<int32_t>(ids.begin(), ids.end())](const Tensor& dy) {
    embedding_backward(dy, kept, to_train(table));
  });
}

Value RecordingContext::product(const Value& x, const Parameter& weight, const Parameter* bias) {
  Tensor y = fresh(x.rows(), weight.shape[0]);
  linear_forward(x.data, weight, bias, y);
  if (!wanted(x) && !wanted(&weight) && !wanted(bias)) return {y};
  // Only the weight's gradient needs x.
  Tensor held = wanted(&weight) ? to_hold(x) : Tensor();
  return record(y, [this, x = Target(x), held, &weight, bias](const Tensor& dy) {
    give(x,
         [&](Tensor& dx, bool accumulate) { linear_backward_input(dy, weight, accumulate, dx); });
    const Tensor input = weight.trained() ? recall(x, held) : Tensor();
    linear_backward_weight(dy, input, to_train(weight), to_train(bias), workspace_.packed_input);
  });
}

Value RecordingContext::rms_norm(const Value& x, const Parameter& weight, float eps) {
  Tensor y = fresh(x.rows(), x.width());
  NormStatistics statistics{Tensor(), fresh(x.data.count() / weight.shape[0], 1)};
  rms_norm_forward(x.data, weight, eps, y, statistics);
  if (!wanted(x) && !wanted(&weight)) return {y};
  auto go_back = [this, x, &weight, statistics](const Tensor& dy) {
    give_or_drop(x, [&](Tensor& dx, bool accumulate) {
      rms_norm_backward(dy, x.data, to_train(weight), statistics, accumulate, dx);
    });
  };
  return record(y, go_back, [x = x.data, &weight, eps](Tensor& again) {
    NormStatistics none;
    rms_norm_forward(x, weight, eps, again, none);
  });
}

Value RecordingContext::unit_norm(const Value& x, int64_t width, float eps) {
  Tensor y = fresh(x.rows(), x.width());
  NormStatistics statistics{Tensor(), fresh(x.data.count() / width, 1)};
  unit_norm_forward(x.data, width, eps, workspace_.activations, y, statistics);
  if (!wanted(x)) return {y};
  return record(y, [this, x, width, statistics](const Tensor& dy) {
    give(x, [&](Tensor& dx, bool accumulate) {
      unit_norm_backward(dy, x.data, width, statistics, workspace_.activations, accumulate, dx);
    });
  });
}

Value RecordingContext::layer_norm(const Value& x, const Parameter& weight, const Parameter* bias,
                                   float eps) {
  Tensor y = fresh(x.rows(), x.width());
  NormStatistics statistics{fresh(x.rows(), 1), fresh(x.rows(), 1)};
  layer_norm_forward(x.data, weight, bias, eps, y, statistics);
  if (!wanted(x) && !wanted(&weight) && !wanted(bias)) return {y};
  auto go_back = [this, x, &weight, bias, statistics](const Tensor& dy) {
    give_or_drop(x, [&](Tensor& dx, bool accumulate) {
      layer_norm_backward(dy, x.data, to_train(weight), to_train(bias), statistics, accumulate, dx);
    });
  };
  return record(y, go_back, [x = x.data, &weight, bias, eps](Tensor& again) {
    NormStatistics none;
    layer_norm_forward(x, weight, bias, eps, again, none);
  });
}

Value RecordingContext::rope(const Value& x, const Rotation& how) {
  Tensor y = fresh(x.rows(), x.width());
  copy(x.data.f32().data(), y.count(), y.f32().data());
  rope_in_place(how, batch().sequence_begin, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x), how](const Tensor& dy) {
    Tensor turned = own(dy);  // nobody else reads a node's gradient after it went back
    rope_back_in_place(how, batch().sequence_begin, turned);
    give_tensor(x, turned);
  });
}

Value RecordingContext::grow(const Value& x, const QueryGrowth& how) {
  Tensor y = fresh(x.rows(), x.width());
  copy(x.data.f32().data(), y.count(), y.f32().data());
  grow_in_place(how, batch().positions, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x), how](const Tensor& dy) {
    Tensor dx = own(dy);  // nobody else reads a node's gradient after it went back
    grow_in_place(how, batch().positions, dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::attention(int64_t, const Value& q, const Value& k, const Value& v,
                                  const AttentionShape& plain, const AttentionExtras& extras) {
  const DType dtype = options_.cache_dtype;
  std::vector<float> biases;
  const AttentionShape shape = with_extras(plain, extras, biases);
  Tensor out = fresh(q.rows(), q.width());
  Tensor log_sum_exp = fresh(q.rows(), shape.num_heads);
  std::vector<AttentionSegment> segments, stored;
  workspace_.scratch_pages.segments(batch(), part(), page_bytes(shape, dtype), segments);
  segments_of(batch(), part(), extras, segments, stored);
  attend(shape, dtype, stored, segments, q.data, k.data, v.data, out, log_sum_exp);
  if (!wanted(q) && !wanted(k) && !wanted(v) && !wanted(extras.sinks) &&
      !wanted(extras.bias_table)) {
    return {out};
  }
  return record(
      out, [this, q = Target(q), k = Target(k), v = Target(v), plain, extras, segments, out,
            log_sum_exp, held_q = hold_rounded(q.data), held_k = hold_rounded(k.data),
            held_v = hold_rounded(v.data)](const Tensor& dout) {
        Tensor rounded_q = widen(held_q), rounded_k = widen(held_k), rounded_v = widen(held_v);
        std::vector<float> values, dbiases;
        const AttentionShape again = with_extras(plain, extras, values);
        if (extras.sinks && extras.sinks->trained()) {
          attention_sinks_backward(again, q.rows, out.f32().data(), dout.f32().data(),
                                   log_sum_exp.f32().data(),
                                   to_train(*extras.sinks).gradient.f32().data());
        }
        if (extras.bias_table && extras.bias_table->trained()) dbiases.resize(values.size());
        Tensor dq = fresh(q.rows, q.width);
        Tensor dk = fresh(k.rows, k.width), dv = fresh(v.rows, v.width);
        attention_backward(again, segments, rounded_q.f32().data(), rounded_k.f32().data(),
                           rounded_v.f32().data(), out.f32().data(), dout.f32().data(),
                           log_sum_exp.f32().data(), dq.f32().data(), dk.f32().data(),
                           dv.f32().data(), dbiases.empty() ? nullptr : dbiases.data());
        if (!dbiases.empty()) {
          distance_bias_backward(again, extras, dbiases, to_train(*extras.bias_table));
        }
        give_tensor(q, dq);
        give_tensor(k, dk);
        give_tensor(v, dv);
      });
}

KeySelection RecordingContext::select_keys(int64_t layer, const KeySelector& how, const Value& q,
                                           const Value& k, const Value* weights) {
  const DType dtype = KeySelector::key_dtype(options_.cache_dtype);
  std::vector<AttentionSegment> segments;
  workspace_.scratch_pages.segments(batch(), part(), page_bytes(how.shape(), dtype), segments);
  auto& [selection, bits] = selections_[layer];
  selection = millrace::select_keys(how, dtype, segments, q.data, k.data,
                                    weights ? &weights->data : nullptr, bits);
  return selection;
}

KeySelection RecordingContext::selected_keys(int64_t layer) const {
  const auto found = selections_.find(layer);
  require(found != selections_.end(), "layer {} chose no keys", layer);
  return found->second.first;
}

Value RecordingContext::linear_attention(int64_t, const Value& q, const Value& k, const Value& v,
                                         const LinearAttentionShape& shape) {
  Tensor out = fresh(q.rows(), q.width());
  std::vector<StateSegment> segments;
  const Tensor states =
      scratch_states(batch(), shape.state_size(), workspace_.activations, segments);
  linear_attention_forward(shape, segments, TimeDirection::forward, q.data.f32().data(),
                           k.data.f32().data(), v.data.f32().data(), out.f32().data());
  if (!wanted(q) && !wanted(k) && !wanted(v)) return {out};
  return record(out, [this, q = Target(q), k = Target(k), v = Target(v), shape,
                      held_q = hold_rounded(q.data), held_k = hold_rounded(k.data),
                      held_v = hold_rounded(v.data)](const Tensor& dout) {
    const Tensor wide_q = widen(held_q), wide_k = widen(held_k), wide_v = widen(held_v);
    Tensor dq = fresh(q.rows, q.width), dk = fresh(k.rows, k.width), dv = fresh(v.rows, v.width);
    std::vector<StateSegment> parts;
    const Tensor scratch =
        scratch_states(batch(), shape.state_size(), workspace_.activations, parts);
    linear_attention_backward(shape, parts, wide_q.f32().data(), wide_k.f32().data(),
                              wide_v.f32().data(), dout.f32().data(), dq.f32().data(),
                              dk.f32().data(), dv.f32().data());
    give_tensor(q, dq);
    give_tensor(k, dk);
    give_tensor(v, dv);
  });
}

Value RecordingContext::delta_rule(const StatePlace&, const DeltaValues& in,
                                   const DeltaShape& shape) {
  Tensor out = fresh(in.v.rows(), in.v.width());
  std::vector<StateSegment> segments;
  const Tensor states =
      scratch_states(batch(), shape.state_size(), workspace_.activations, segments);
  delta_rule_forward(shape, segments,
                     {in.q.data, in.k.data, in.v.data, in.decay.data, in.beta.data}, out);
  if (!wanted(in.q) && !wanted(in.k) && !wanted(in.v) && !wanted(in.decay) && !wanted(in.beta)) {
    return {out};
  }
  const DeltaTensors held = {hold_rounded(in.q.data), hold_rounded(in.k.data),
                             hold_rounded(in.v.data), in.decay.data, in.beta.data};
  auto go_back = [this, q = Target(in.q), k = Target(in.k), v = Target(in.v),
                  decay = Target(in.decay), beta = Target(in.beta), held,
                  shape](const Tensor& dout) {
    auto like = [&](const Target& x) { return fresh(x.rows, x.width); };
    DeltaTensors d = {like(q), like(k), like(v), like(decay), like(beta)};
    delta_rule_backward(shape, whole_sequences(batch()),
                        {widen(held.q), widen(held.k), widen(held.v), held.decay, held.beta}, dout,
                        d);
    give_tensor(q, d.q);
    give_tensor(k, d.k);
    give_tensor(v, d.v);
    give_tensor(decay, d.decay);
    give_tensor(beta, d.beta);
  };
  return record(out, go_back);
}

Value RecordingContext::causal_convolution(const StatePlace&, const Value& x,
                                           const Parameter& weight) {
  Tensor y = fresh(x.rows(), x.width());
  std::vector<StateSegment> segments;
  const Tensor states = scratch_states(batch(), convolution_shape(weight).state_size(),
                                       workspace_.activations, segments);
  causal_convolution_forward(segments, x.data, weight, y);
  if (!wanted(x) && !wanted(&weight)) return {y};
  return record(y, [this, x = Target(x), held = hold_rounded(x.data), &weight](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    causal_convolution_backward(whole_sequences(batch()), dy, widen(held), to_train(weight), dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::decay(const Value& x, const Parameter& log_rate, const Parameter& bias) {
  Tensor y = fresh(x.rows(), x.width());
  decay_forward(x.data, log_rate, bias, y);
  if (!wanted(x) && !wanted(&log_rate) && !wanted(&bias)) return {y};
  return record(y, [this, x = Target(x), held = x.data, &log_rate, &bias](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    decay_backward(dy, held, to_train(log_rate), to_train(bias), dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::l2_norm(const Value& x, int64_t width, float eps, float length) {
  Tensor y = fresh(x.rows(), x.width()), weight = fresh(1, width);
  NormStatistics statistics{Tensor(), fresh(x.data.count() / width, 1)};
  l2_norm_forward(x.data, eps, length, weight, y, statistics);
  if (!wanted(x)) return {y};
  const Tensor held = to_hold(x);
  return record(y, [this, x = Target(x), held, weight, statistics](const Tensor& dy) {
    give(x, [&](Tensor& dx, bool accumulate) {
      l2_norm_backward(dy, recall(x, held), weight, statistics, accumulate, dx);
    });
  });
}

Value RecordingContext::add(const Value& a, const Value& b) {
  Tensor y = fresh(a.rows(), a.width());
  millrace::add(a.data.f32().data(), b.data.f32().data(), y.count(), y.f32().data());
  if (!wanted(a) && !wanted(b)) return {y};
  return record(y, [this, a = Target(a), b = Target(b)](const Tensor& dy) {
    give_tensor(a, dy);
    give_tensor(b, dy);
  });
}

Value RecordingContext::scale(const Value& x, float factor) {
  Tensor y = fresh(x.rows(), x.width());
  millrace::scale(x.data.f32().data(), factor, y.count(), y.f32().data());
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x), factor](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    millrace::scale(dy.f32().data(), factor, dx.count(), dx.f32().data());
    give_tensor(x, dx);
  });
}

Value RecordingContext::activate(const Value& x, Activation activation) {
  Tensor y = fresh(x.rows(), x.width());
  activation_forward(activation, x.data.f32().data(), y.count(), y.f32().data());
  if (!wanted(x)) return {y};
  const Tensor held = hold_rounded(x.data);
  auto go_back = [this, x = Target(x), held, activation](const Tensor& dy) {
    Tensor dx = own(dy);  // nobody else reads a node's gradient after it went back
    activation_backward(activation, widen(held).f32().data(), dy.f32().data(), dx.count(),
                        dx.f32().data(), false);
    give_tensor(x, dx);
  };
  return record(y, go_back, [this, held, activation](Tensor& again) {
    activation_forward(activation, widen(held).f32().data(), again.count(), again.f32().data());
  });
}

Value RecordingContext::glu(Activation activation, const Value& gate, const Value& up) {
  Tensor y = fresh(gate.rows(), gate.width());
  const int64_t rows = y.shape()[0], width = y.shape()[1];
  glu_forward(activation, gate.data.f32().data(), up.data.f32().data(), rows, width, width,
              y.f32().data());
  if (!wanted(gate) && !wanted(up)) return {y};
  const Tensor held_gate = hold_rounded(gate.data), held_up = hold_rounded(up.data);
  auto go_back = [=, this, gate = Target(gate), up = Target(up)](const Tensor& dy) {
    Tensor dgate = fresh(rows, width), dup = fresh(rows, width);
    glu_backward(activation, widen(held_gate).f32().data(), widen(held_up).f32().data(),
                 dy.f32().data(), rows, width, width, dgate.f32().data(), dup.f32().data());
    give_tensor(gate, dgate);
    give_tensor(up, dup);
  };
  return record(y, go_back, [=, this](Tensor& again) {
    glu_forward(activation, widen(held_gate).f32().data(), widen(held_up).f32().data(), rows, width,
                width, again.f32().data());
  });
}

Value RecordingContext::clamped_glu(const ClampedGlu& shape, const Value& gate, const Value& up) {
  Tensor y = fresh(gate.rows(), gate.width());
  clamped_glu_forward(shape, gate.data.f32().data(), up.data.f32().data(), y.count(),
                      y.f32().data());
  if (!wanted(gate) && !wanted(up)) return {y};
  const Tensor held_gate = hold_rounded(gate.data), held_up = hold_rounded(up.data);
  auto go_back = [=, this, gate = Target(gate), up = Target(up)](const Tensor& dy) {
    Tensor dgate = fresh(gate.rows, gate.width), dup = fresh(up.rows, up.width);
    clamped_glu_backward(shape, widen(held_gate).f32().data(), widen(held_up).f32().data(),
                         dy.f32().data(), dy.count(), dgate.f32().data(), dup.f32().data());
    give_tensor(gate, dgate);
    give_tensor(up, dup);
  };
  return record(y, go_back, [=, this](Tensor& again) {
    clamped_glu_forward(shape, widen(held_gate).f32().data(), widen(held_up).f32().data(),
                        again.count(), again.f32().data());
  });
}

Value RecordingContext::weigh_runs(const Value& x, const Value& weights) {
  Tensor y = fresh(x.rows(), x.width());
  weigh_runs_forward(x.data, weights.data, y);
  if (!wanted(x) && !wanted(weights)) return {y};
  return record(y, [this, x = Target(x), weights = Target(weights), held_x = x.data,
                    held_weights = weights.data](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width), dweights = fresh(weights.rows, weights.width);
    weigh_runs_backward(held_x, held_weights, dy, dx, dweights);
    give_tensor(x, dx);
    give_tensor(weights, dweights);
  });
}

Value RecordingContext::scale_and_shift(const Value& x, const Parameter& scale,
                                        const Parameter& bias) {
  Tensor y = fresh(x.rows(), x.width());
  scale_and_shift_forward(x.data, scale, bias, y);
  if (!wanted(x) && !wanted(&scale) && !wanted(&bias)) return {y};
  return record(y, [this, x = Target(x), held = x.data, &scale, &bias](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    scale_and_shift_backward(held, dy, scale, dx,
                             scale.trained() ? &to_train(scale).gradient : nullptr,
                             bias.trained() ? &to_train(bias).gradient : nullptr);
    give_tensor(x, dx);
  });
}

Value RecordingContext::sum_runs(const Value& x, int64_t n) {
  Tensor y = fresh(x.rows(), x.width() / n);
  millrace::sum_runs(x.data, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x)](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    millrace::repeat_runs(dy, dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::repeat_runs(const Value& x, int64_t n) {
  Tensor y = fresh(x.rows(), x.width() * n);
  millrace::repeat_runs(x.data, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x)](const Tensor& dy) {
    Tensor dx = fresh(x.rows, x.width);
    millrace::sum_runs(dy, dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::scale_columns(const Value& x, const Parameter& weight) {
  Tensor y = fresh(x.rows(), x.width());
  scale_columns_forward(x.data, weight, y);
  if (!wanted(x) && !wanted(&weight)) return {y};
  return record(y, [this, x, &weight](const Tensor& dy) {
    Tensor dx = fresh(x.rows(), x.width());
    scale_columns_backward(dy, x.data, to_train(weight), dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::with_magnitude(const Value& x, const Value& of, float least) {
  Tensor y = fresh(x.rows(), x.width());
  with_magnitude_forward(x.data, of.data, least, y);
  if (!wanted(x) && !wanted(of)) return {y};
  return record(y, [this, x, of, least](const Tensor& dy) {
    Tensor dx = fresh(x.rows(), x.width()), dof = fresh(x.rows(), x.width());
    with_magnitude_backward(dy, x.data, of.data, least, dx, dof);
    give_tensor(x, dx);
    give_tensor(of, dof);
  });
}

Value RecordingContext::outliers(const Value& x, float deviations) {
  Tensor y = fresh(x.rows(), x.width());
  outliers_forward(x.data, deviations, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x, deviations](const Tensor& dy) {
    Tensor dx = fresh(x.rows(), x.width());
    outliers_backward(dy, x.data, deviations, dx);
    give_tensor(x, dx);
  });
}

Value RecordingContext::mix(const Value& x, int64_t width, const Value& coefficients, float plus) {
  Tensor y = fresh(x.rows(), mixed_width(x.data, width, coefficients.data));
  mix_forward(x.data, width, coefficients.data, plus, y);
  if (!wanted(x) && !wanted(coefficients)) return {y};
  return record(y, [this, x, width, coefficients, plus](const Tensor& dy) {
    Tensor dx = fresh(x.rows(), x.width());
    Tensor dcoefficients = fresh(x.rows(), coefficients.width());
    mix_backward(dy, x.data, width, coefficients.data, plus, dx, dcoefficients);
    give_tensor(x, dx);
    give_tensor(coefficients, dcoefficients);
  });
}

Value RecordingContext::columns(const Value& x, int64_t begin, int64_t end) {
  Tensor y = fresh(x.rows(), end - begin);
  columns_forward(x.data, begin, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x), begin](const Tensor& dy) {
    give(x, [&](Tensor& dx, bool accumulate) { columns_backward(dy, begin, accumulate, dx); });
  });
}

Value RecordingContext::gather_rows(const Value& x, std::span<const int64_t> rows) {
  Tensor y = fresh(static_cast<int64_t>(rows.size()), x.width());
  gather_rows_forward(x.data, rows, y);
  if (!wanted(x)) return {y};
  return record(y, [this, x = Target(x),
                    kept = std::vector<int64_t>(rows.begin(), rows.end())](const Tensor& dy) {
    give(x, [&](Tensor& dx, bool accumulate) {
      if (!accumulate) std::memset(dx.data(), 0, dx.bytes());
      gather_rows_backward(dy, kept, dx);
    });
  });
}

Value RecordingContext::zeros(int64_t rows, int64_t width) {
  return {workspace_.activations.take_zeroed(rows, width)};
}

Value RecordingContext::with_columns(const Value& y, int64_t begin, const Value& x) {
  Tensor out = y.data;
  put_columns(x.data, begin, out);
  if (!wanted(y) && !wanted(x)) return {out};
  return record(out, [this, y = Target(y), x = Target(x), begin](const Tensor& dy) {
    give(x, [&](Tensor& dx, bool accumulate) {
      Tensor part = accumulate ? fresh(x.rows, x.width) : dx;
      columns_forward(dy, begin, part);
      if (accumulate) add_into(part.f32().data(), part.count(), dx.f32().data());
    });
    give_tensor(y, dy);
  });
}

Value RecordingContext::with_rows(const Value& x, std::span<const int64_t> rows, const Value& y) {
  Tensor out = fresh(x.rows(), x.width());
  put_rows(x.data, rows, y.data, out);
  if (!wanted(x) && !wanted(y)) return {out};
  return record(out, [this, x = Target(x), y = Target(y),
                      kept = std::vector<int64_t>(rows.begin(), rows.end())](const Tensor& dout) {
    give(y, [&](Tensor& dy, bool accumulate) {
      Tensor part = accumulate ? fresh(y.rows, y.width) : dy;
      gather_rows_forward(dout, kept, part);
      if (accumulate) add_into(part.f32().data(), part.count(), dy.f32().data());
    });
    Tensor dx = own(dout);
    clear_rows(kept, dx);
    give_tensor(x, dx);
  });
}

Routed RecordingContext::route(const Value& logits, const Routing& how,
                               const Parameter* selection_bias) {
  Choice choice = route_forward(logits.data, how, vector_data(selection_bias), sequence_begin(),
                                workspace_.activations);
  if (options_.router_losses.any() && !going_back_) router_use_.add(logits.data, choice);
  if (!wanted(logits)) return {{choice.weights}, choice.dispatch};
  auto go_back = [this, x = Target(logits), held = logits.data, choice, how](const Tensor& dy) {
    Tensor dlogits = fresh(x.rows, x.width);
    route_backward(dy, choice, how, dlogits);
    if (options_.router_losses.any()) {
      const RouterLosses losses{options_.router_losses.balance * loss_scale_,
                                options_.router_losses.z * loss_scale_};
      router_losses_backward(held, router_use_, losses, dlogits);
    }
    give_tensor(x, dlogits);
  };
  return {record(choice.weights, go_back), choice.dispatch};
}

Routed RecordingContext::scale_choices(const Routed& routed, const Parameter& scales) {
  Tensor weights = fresh(routed.weights.rows(), routed.weights.width());
  scale_choices_forward(routed.weights.data, routed.dispatch, scales, weights);
  if (!wanted(routed.weights) && !wanted(&scales)) return {{weights}, routed.dispatch};
  auto go_back = [this, routed, &scales](const Tensor& dy) {
    Tensor dweights = fresh(routed.weights.rows(), routed.weights.width());
    scale_choices_backward(dy, routed.weights.data, routed.dispatch, to_train(scales), dweights);
    give_tensor(routed.weights, dweights);
  };
  return {record(weights, go_back), routed.dispatch};
}

Value RecordingContext::add_expert(const Value& sum, const Value& y, const Routed& routed,
                                   int64_t expert) {
  Tensor out = sum.data;
  add_expert_forward(y.data, routed.weights.data, routed.dispatch, expert, out);
  if (!wanted(sum) && !wanted(y) && !wanted(routed.weights)) return {out};
  return record(out, [this, sum = Target(sum), y, routed, expert](const Tensor& dsum) {
    Tensor dy = fresh(y.rows(), y.width());
    give_or_drop(routed.weights, [&](Tensor& dweights, bool accumulate) {
      if (!accumulate) std::memset(dweights.data(), 0, dweights.bytes());
      add_expert_backward(dsum, y.data, routed.weights.data, routed.dispatch, expert, dy, dweights);
    });
    give_tensor(y, dy);
    give_tensor(sum, dsum);
  });
}

Value RecordingContext::block(const Value& x, const Body& body) {
  if (!options_.recompute || !recording_) return body(*this, x);
  recording_ = false;
  Value y = body(*this, {x.data});
  recording_ = true;
  return record(y.data, [this, x, body](const Tensor& dy) {
    const size_t floor = tape_.size();
    Value start = leaf(x.data);
    Value again = body(*this, start);
    give_tensor(again, dy);
    unwind(floor);
    Tensor dx = gradient(start);
    tape_.resize(floor);
    if (!dx.empty()) give_tensor(x, dx);
  });
}

}  // namespace millrace
