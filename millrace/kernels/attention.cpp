#include "millrace/kernels/attention.h"

namespace millrace {

size_t page_bytes(const AttentionShape& shape, DType dtype) {
  return dtype_bytes(dtype,
                     static_cast<uint64_t>(2 * shape.num_kv_heads * shape.head_dim * kPageSize));
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

}  // namespace millrace
