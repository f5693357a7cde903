// Between f32 and the types that weights are stored in: f16, bf16 and GGUF's quantised blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "millrace/tensor/tensor.h"

namespace millrace {

/// Values of `count` (a multiple of the block size) f32, f16, bf16, f8, i8 or quantised numbers,
/// the last exactly as ggml computes them. Throws Error for other types.
void dequantize(DType dtype, const std::byte* from, float* to, int64_t count);

/// The inverse: blocks with small squared error. Errors count `importance[i]` times as much (at
/// least 0, one for each value), and large values more than small ones:
/// importance · sqrt(mean x² + x²). Throws Error when `count` does not fill whole blocks and when
/// a value is infinite, NaN or too large for an f16 scale.
void quantize(DType dtype, const float* from, std::byte* to, int64_t count,
              const float* importance = nullptr);

/// An f32 tensor in another of these types, in parallel. Throws Error when its last dimension does
/// not fill whole blocks, and as quantize does.
Tensor quantized(const Tensor& f32, DType dtype);

/// A tensor of any of these types in f32, in parallel.
Tensor dequantized(const Tensor& tensor);

}  // namespace millrace
