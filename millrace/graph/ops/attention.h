// Causal attention over pages, with its gradients, and rotary positions.
#pragma once

#include <cstdint>
#include <span>

#include "millrace/graph/parameter.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/rope.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// Stores the batch's keys and values into the segments' pages, rounded to `dtype`, then attends:
/// out [tokens, num_heads · head_dim]. `log_sum_exp` [tokens, num_heads] is filled unless empty.
void attend(const AttentionShape& shape, DType dtype, std::span<const AttentionSegment> segments,
            const Tensor& q, const Tensor& k, const Tensor& v, Tensor& out, Tensor& log_sum_exp);

/// The shape with a parameter's values for sinks; null: none.
AttentionShape with_sinks(AttentionShape shape, const Parameter* sinks);

/// Turns the heads of x in place by `positions`.
void rope_in_place(const RopeTable& table, std::span<const int32_t> positions, int64_t head_dim,
                   RopePairing pairing, Tensor& x);
/// The gradient: turns back.
void rope_back_in_place(const RopeTable& table, std::span<const int32_t> positions,
                        int64_t head_dim, RopePairing pairing, Tensor& dx);

}  // namespace millrace
