#include "millrace/graph/ops/attention.h"

namespace millrace {

void attend(const AttentionShape& shape, DType dtype, std::span<const AttentionSegment> segments,
            const Tensor& q, const Tensor& k, const Tensor& v, Tensor& out, Tensor& log_sum_exp) {
  store_keys_values(shape, dtype, segments, k.f32().data(), v.f32().data());
  attention_forward(shape, dtype, segments, q.f32().data(), out.f32().data(),
                    log_sum_exp.empty() ? nullptr : log_sum_exp.f32().data());
}

AttentionShape with_sinks(AttentionShape shape, const Parameter* sinks) {
  if (sinks) shape.sinks = sinks->value.f32().data();
  return shape;
}

void rope_in_place(const RopeTable& table, std::span<const int32_t> positions, int64_t head_dim,
                   RopePairing pairing, Tensor& x) {
  const int64_t width = x.shape()[1];
  rope_forward(table, positions.data(), x.shape()[0], width / head_dim, head_dim, width, pairing,
               x.f32().data());
}

void rope_back_in_place(const RopeTable& table, std::span<const int32_t> positions,
                        int64_t head_dim, RopePairing pairing, Tensor& dx) {
  const int64_t width = dx.shape()[1];
  rope_backward(table, positions.data(), dx.shape()[0], width / head_dim, head_dim, width, pairing,
                dx.f32().data());
}

}  // namespace millrace
