#include "millrace/graph/ops/loss.h"

#include <algorithm>

#include "millrace/graph/ops/linear.h"
#include "millrace/kernels/loss.h"

namespace millrace {
namespace {

/// Rows of logits held at a time: about 16 MB of them, and enough rows for a good product.
int64_t rows_per_chunk(int64_t vocab) {
  return std::clamp<int64_t>((int64_t{1} << 22) / vocab, 64, 2048);
}

}  // namespace

void head_loss_forward(const Tensor& hidden, const Parameter& head,
                       std::span<const int32_t> targets, Activations& activations,
                       std::span<float> losses) {
  const int64_t rows = hidden.shape()[0], vocab = head.shape[0], chunk = rows_per_chunk(vocab);
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
  const int64_t rows = hidden.shape()[0], vocab = head.shape[0], chunk = rows_per_chunk(vocab);
  PackedMatrix packed;
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
