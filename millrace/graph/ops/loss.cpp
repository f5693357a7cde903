#include "millrace/graph/ops/loss.h"

#include <algorithm>

#include "millrace/graph/ops/linear.h"
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

}  // namespace

void head_loss_forward(const Tensor& hidden, const Parameter& head,
                       std::span<const int32_t> targets, Activations& activations,
                       std::span<float> losses) {
  const int64_t rows = hidden.shape()[0], vocab = head.shape[0], chunk = rows_per_chunk(rows, head);
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    Tensor logits = activations.take(end - begin, vocab);
    linear_forward(hidden.rows(begin, end), head, nullptr, logits);
    cross_entropy_forward(logits.f32().data(), targets.data() + begin, end - begin, vocab,
                          losses.data() + begin);
  }
}

void head_loss_forward_backward(const Tensor& hidden, Parameter& head,
                                std::span<const int32_t> targets, float scale,
                                Activations& activations, std::span<float> losses,
                                Tensor& dhidden) {
  const int64_t rows = hidden.shape()[0], vocab = head.shape[0], chunk = rows_per_chunk(rows, head);
  PackedInput packed;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t end = std::min(rows, begin + chunk);
    Tensor part = hidden.rows(begin, end);
    Tensor logits = activations.take(end - begin, vocab);
    linear_forward(part, head, nullptr, logits);
    cross_entropy_forward_backward(logits.f32().data(), targets.data() + begin, end - begin, vocab,
                                   scale, losses.data() + begin);
    if (!dhidden.empty()) {
      Tensor dpart = dhidden.rows(begin, end);
      linear_backward_input(logits, head, false, dpart);
    }
    linear_backward_weight(logits, part, head, nullptr, packed);
  }
}

}  // namespace millrace
