#include "millrace/graph/ops/loss.h"

#include <algorithm>

#include "millrace/graph/ops/linear.h"
#include "millrace/graph/ops/unit_rows.h"
#include "millrace/kernels/activation.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/loss.h"

namespace millrace {
namespace {

/// Rows of logits held at a time. Each chunk reads the head and adds to its gradient once, so a
/// chunk of fewer rows than the head has columns spends its time on that; beyond 16 MB logits leave
/// the caches, beyond 128 MB they are too much memory. Even, for the pairs of bf16 products.
int64_t rows_per_chunk(int64_t rows, const Parameter& head) {
  const int64_t vocab = head.shape[0];
  const int64_t cached = (int64_t{1} << 22) / vocab, affordable = (int64_t{1} << 25) / vocab;
  const int64_t most =
      std::clamp<int64_t>(std::min(affordable, std::max(cached, head.shape[1])), 64, 2048);
  const int64_t chunks = std::max<int64_t>(1, (rows + most - 1) / most);
  return ((rows + chunks - 1) / chunks + 31) / 32 * 32;
}

/// x becomes softcap · tanh(x / softcap), as Context's operators do it. The values of x / softcap
/// are what going back needs.
Tensor cap_softly(float softcap, Activations& activations, Tensor& x) {
  if (softcap == 0) return {};
  Tensor inner = activations.take(x.shape()[0], x.shape()[1]);
  scale(x.f32().data(), 1 / softcap, x.count(), inner.f32().data());
  activation_forward(Activation::tanh, inner.f32().data(), x.count(), x.f32().data());
  scale(x.f32().data(), softcap, x.count(), x.f32().data());
  return inner;
}

/// The gradient, in place.
void cap_softly_backward(const Tensor& inner, Tensor& dx) {
  if (inner.empty()) return;
  activation_backward(Activation::tanh, inner.f32().data(), dx.f32().data(), dx.count(),
                      dx.f32().data(), false);
}

/// A head's weight with the rows that it is used with.
Parameter unit_weight(const Parameter& weight) {
  Parameter unit;
  unit.shape = weight.shape;
  unit.value = with_unit_rows(weight.value);
  unit.arithmetic = weight.arithmetic;
  if (weight.trained()) unit.gradient = Tensor(DType::f32, weight.shape);
  return unit;
}

}  // namespace

void head_loss_forward(const Tensor& hidden, const Head& head, std::span<const int32_t> targets,
                       Activations& activations, std::span<float> losses) {
  if (head.unit_rows) {
    const Parameter unit = unit_weight(head.weight);
    return head_loss_forward(hidden, {unit, head.bias, head.softcap}, targets, activations, losses);
  }
  const int64_t rows = hidden.shape()[0], vocab = head.weight.shape[0];
  const int64_t chunk = rows_per_chunk(rows, head.weight);
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    Tensor logits = activations.take(end - begin, vocab);
    linear_forward(hidden.rows(begin, end), head.weight, head.bias, logits);
    cap_softly(head.softcap, activations, logits);
    cross_entropy_forward(logits.f32().data(), targets.data() + begin, end - begin, vocab,
                          losses.data() + begin);
  }
}

void head_loss_forward_backward(const Tensor& hidden, const Head& head,
                                std::span<const int32_t> targets, float factor,
                                Activations& activations, std::span<float> losses,
                                Tensor& dhidden) {
  if (head.unit_rows) {
    const Parameter unit = unit_weight(head.weight);
    head_loss_forward_backward(hidden, {unit, head.bias, head.softcap}, targets, factor,
                               activations, losses, dhidden);
    if (unit.trained()) unit_rows_backward(unit.gradient, to_train(head.weight));
    return;
  }
  const int64_t rows = hidden.shape()[0], vocab = head.weight.shape[0];
  const int64_t chunk = rows_per_chunk(rows, head.weight);
  PackedInput packed;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    Tensor part = hidden.rows(begin, end);
    Tensor logits = activations.take(end - begin, vocab);
    linear_forward(part, head.weight, head.bias, logits);
    const Tensor inner = cap_softly(head.softcap, activations, logits);
    cross_entropy_forward_backward(logits.f32().data(), targets.data() + begin, end - begin, vocab,
                                   factor, losses.data() + begin);
    cap_softly_backward(inner, logits);
    if (!dhidden.empty()) {
      Tensor dpart = dhidden.rows(begin, end);
      linear_backward_input(logits, head.weight, false, dpart);
    }
    linear_backward_weight(logits, part, to_train(head.weight), to_train(head.bias), packed);
  }
}

}  // namespace millrace
