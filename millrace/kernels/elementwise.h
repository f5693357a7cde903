// Sums, products and roundings of arrays, element by element or column by column.
#pragma once

#include <cstdint>

#include "millrace/tensor/dtype.h"

namespace millrace {

/// y = a; they must not overlap.
void copy(const float* a, int64_t count, float* y);
/// y = a + b; y may be a's or b's memory, here and below.
void add(const float* a, const float* b, int64_t count, float* y);
/// y += a.
void add_into(const float* a, int64_t count, float* y);
/// y += factor * a, the product rounded before the sum.
void add_scaled(const float* a, float factor, int64_t count, float* y);
/// y = factor * a.
void scale(const float* a, float factor, int64_t count, float* y);
/// y = a * b.
void multiply(const float* a, const float* b, int64_t count, float* y);

/// y[r, c] += bias[c]. y: [rows, width].
void add_bias(const float* bias, int64_t rows, int64_t width, float* y);
/// sums[c] += sum over r of a[r, c]: the gradient of a bias. Chunks of 256 rows are summed
/// first, then their sums, both in ascending order, whatever the threads.
void add_column_sums(const float* a, int64_t rows, int64_t width, float* sums);

/// Rounds to bfloat16 (nearest, ties to even).
void to_bfloat16(const float* a, int64_t count, BFloat16* y);
/// y = a, exactly.
void from_bfloat16(const BFloat16* a, int64_t count, float* y);
/// y = a rounded to the nearest value that `dtype` (f32, bf16 or f16) can hold; y may be a.
/// Throws Error for another dtype.
void round_to(DType dtype, const float* a, int64_t count, float* y);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void add(const float* a, const float* b, int64_t count, float* y);
void add_into(const float* a, int64_t count, float* y);
void add_scaled(const float* a, float factor, int64_t count, float* y);
void scale(const float* a, float factor, int64_t count, float* y);
void multiply(const float* a, const float* b, int64_t count, float* y);
void add_bias(const float* bias, int64_t rows, int64_t width, float* y);
void add_column_sums(const float* a, int64_t rows, int64_t width, float* sums);
void to_bfloat16(const float* a, int64_t count, BFloat16* y);
void from_bfloat16(const BFloat16* a, int64_t count, float* y);
void round_to(DType dtype, const float* a, int64_t count, float* y);
}  // namespace reference

}  // namespace millrace
