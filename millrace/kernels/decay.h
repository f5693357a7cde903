// How much of its state a recurrence keeps from one token to the next (Gu and Dao 2023).
#pragma once

#include <cstdint>

namespace millrace {

struct DecayShape {
  int64_t rows = 0;
  int64_t heads = 0;  // each with a rate
  int64_t width = 0;  // a multiple of the heads
};

/// y = exp(-exp(log_rate) * log(1 + exp(x + bias))), between 0 and 1. x, y: [rows, width]; bias:
/// [width]; log_rate: [heads], each of width / heads columns. Number by number by the C library's
/// functions: there are few.
void decay_forward(const DecayShape& shape, const float* x, const float* log_rate,
                   const float* bias, float* y);

/// Gradient of decay_forward. dx [rows, width] is written; dlog_rate [heads] and dbias [width],
/// which may be null, are added to, each a sum over ascending rows.
void decay_backward(const DecayShape& shape, const float* x, const float* log_rate,
                    const float* bias, const float* dy, float* dx, float* dlog_rate, float* dbias);

}  // namespace millrace
