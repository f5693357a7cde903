// Every kernel as its reference, until the vector version of each takes its place.
#include "millrace/kernels/activation.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/elementwise.h"
#include "millrace/kernels/embedding.h"
#include "millrace/kernels/loss.h"
#include "millrace/kernels/norm.h"
#include "millrace/kernels/optimizer.h"
#include "millrace/kernels/rope.h"

namespace millrace {

void rms_norm_forward(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                      float* y, float* inv_rms) {
  return reference::rms_norm_forward(x, weight, rows, width, eps, y, inv_rms);
}

void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* inv_rms,
                       int64_t rows, int64_t width, float* dx, bool accumulate, float* dweight) {
  return reference::rms_norm_backward(dy, x, weight, inv_rms, rows, width, dx, accumulate, dweight);
}

void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t width, float eps, float* y, float* mean, float* inv_std) {
  return reference::layer_norm_forward(x, weight, bias, rows, width, eps, y, mean, inv_std);
}

void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* inv_std, int64_t rows, int64_t width, float* dx,
                         bool accumulate, float* dweight, float* dbias) {
  return reference::layer_norm_backward(dy, x, weight, mean, inv_std, rows, width, dx, accumulate,
                                        dweight, dbias);
}

void activation_forward(Activation activation, const float* x, int64_t count, float* y) {
  return reference::activation_forward(activation, x, count, y);
}

void activation_backward(Activation activation, const float* x, const float* dy, int64_t count,
                         float* dx, bool accumulate) {
  return reference::activation_backward(activation, x, dy, count, dx, accumulate);
}

void glu_forward(Activation activation, const float* gate, const float* up, int64_t rows,
                 int64_t width, int64_t in_stride, float* y) {
  return reference::glu_forward(activation, gate, up, rows, width, in_stride, y);
}

void glu_backward(Activation activation, const float* gate, const float* up, const float* dy,
                  int64_t rows, int64_t width, int64_t in_stride, float* dgate, float* dup) {
  return reference::glu_backward(activation, gate, up, dy, rows, width, in_stride, dgate, dup);
}

void add(const float* a, const float* b, int64_t count, float* y) {
  return reference::add(a, b, count, y);
}

void add_into(const float* a, int64_t count, float* y) {
  return reference::add_into(a, count, y);
}

void add_scaled(const float* a, float factor, int64_t count, float* y) {
  return reference::add_scaled(a, factor, count, y);
}

void scale(const float* a, float factor, int64_t count, float* y) {
  return reference::scale(a, factor, count, y);
}

void multiply(const float* a, const float* b, int64_t count, float* y) {
  return reference::multiply(a, b, count, y);
}

void add_bias(const float* bias, int64_t rows, int64_t width, float* y) {
  return reference::add_bias(bias, rows, width, y);
}

void add_column_sums(const float* a, int64_t rows, int64_t width, float* sums) {
  return reference::add_column_sums(a, rows, width, sums);
}

void to_bfloat16(const float* a, int64_t count, BFloat16* y) {
  return reference::to_bfloat16(a, count, y);
}

void round_to(DType dtype, const float* a, int64_t count, float* y) {
  return reference::round_to(dtype, a, count, y);
}

void gather_rows(const float* table, const int32_t* ids, int64_t count, int64_t width, float* out) {
  return reference::gather_rows(table, ids, count, width, out);
}

void scatter_add_rows(const float* dout, const int32_t* ids, int64_t count, int64_t width,
                      float* dtable) {
  return reference::scatter_add_rows(dout, ids, count, width, dtable);
}

void adamw_step(const AdamW& options, const float* grad, int64_t count, float* param, float* m,
                float* v) {
  return reference::adamw_step(options, grad, count, param, m, v);
}

double sum_of_squares(const float* a, int64_t count) {
  return reference::sum_of_squares(a, count);
}

float log_sum_exp(const float* logits, int64_t vocab) {
  return reference::log_sum_exp(logits, vocab);
}

float log_softmax_at(const float* logits, int64_t vocab, int32_t target) {
  return reference::log_softmax_at(logits, vocab, target);
}

void softmax(const float* logits, int64_t vocab, float* probabilities) {
  return reference::softmax(logits, vocab, probabilities);
}

int32_t argmax(const float* logits, int64_t vocab) {
  return reference::argmax(logits, vocab);
}

void cross_entropy_forward(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                           float* losses) {
  return reference::cross_entropy_forward(logits, targets, rows, vocab, losses);
}

void cross_entropy_forward_backward(float* logits, const int32_t* targets, int64_t rows,
                                    int64_t vocab, float scale, float* losses) {
  return reference::cross_entropy_forward_backward(logits, targets, rows, vocab, scale, losses);
}

void rope_forward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                  int64_t head_dim, int64_t row_stride, RopePairing pairing, float* x) {
  return reference::rope_forward(table, positions, rows, heads, head_dim, row_stride, pairing, x);
}

void rope_backward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                   int64_t head_dim, int64_t row_stride, RopePairing pairing, float* dx) {
  return reference::rope_backward(table, positions, rows, heads, head_dim, row_stride, pairing, dx);
}

void store_keys_values(const AttentionShape& shape, DType dtype, const float* k, const float* v,
                       int64_t count, int64_t first_position, std::span<std::byte* const> pages) {
  return reference::store_keys_values(shape, dtype, k, v, count, first_position, pages);
}

void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp) {
  return reference::attention_forward(shape, dtype, segments, q, out, log_sum_exp);
}

void attention_backward(const AttentionShape& shape, std::span<const AttentionSegment> segments,
                        const float* q, const float* k, const float* v, const float* out,
                        const float* dout, const float* log_sum_exp, float* dq, float* dk,
                        float* dv) {
  return reference::attention_backward(shape, segments, q, k, v, out, dout, log_sum_exp, dq, dk,
                                       dv);
}

std::optional<Activation> activation_from_name(std::string_view name) {
  if (name == "relu") return Activation::relu;
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_tanh" || name == "gelu_pytorch_tanh") {
    return Activation::gelu_tanh;
  }
  return std::nullopt;
}

size_t page_bytes(const AttentionShape& shape, DType dtype) {
  return dtype_bytes(dtype,
                     static_cast<uint64_t>(2 * shape.num_kv_heads * shape.head_dim * kPageSize));
}

}  // namespace millrace
