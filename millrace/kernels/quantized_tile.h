// What quantized_matmul.cpp asks of each instruction set: rounding rows of x, one tile of products.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "millrace/kernels/matmul.h"
#include "millrace/kernels/quantized_panel.h"

namespace millrace {

/// Rows whose sums registers hold.
constexpr int kMaxQuantRows = 16;

/// 32 values of a row of x rounded to eight bits: value ≈ scale * level, |level| <= 127. Group g is
/// the whole block, or one of its halves where 16 weights share a scale.
struct RoundedBlock {
  int8_t levels[kQuantBlock];
  float scale;
  int32_t bias[2];  // -zero * Σ levels of a group: what unsigned codes add too much
  float sum[2];     // scale * Σ levels of a group: what a min is multiplied with
};

/// A few rows of x times one panel: y[rows, 16] = x · wᵀ, or += with `accumulate`.
struct QuantizedTile {
  const RoundedBlock* x;  ///< rows x_stride blocks apart
  int64_t x_stride;
  const std::byte* panel;
  int64_t blocks;  ///< of 32 values of k
  float* y;
  int64_t y_stride;
  int rows;  ///< at most max_rows of the level
  bool accumulate;
};

/// The inner loops at one instruction-set level. Their results are the same bits at every level.
struct QuantizedKernels {
  void (*tile)(DType type, const QuantizedTile& tile);
  /// Rounds k values for products with weights of this format.
  void (*round_row)(const BlockFormat& format, const float* x, int64_t k, RoundedBlock* out);
  int max_rows = kMaxQuantRows;  ///< of a tile
};

/// The plain loops that define the results.
extern const QuantizedKernels kScalarQuantizedKernels;
#if defined(__x86_64__)
extern const QuantizedKernels kAvx2QuantizedKernels;
extern const QuantizedKernels kVnniQuantizedKernels;  ///< AVX-512 F, BW, VL, DQ and VNNI
extern const QuantizedKernels kAmxQuantizedKernels;
#endif

/// quantized_matmul with given inner loops.
void quantized_matmul(const QuantizedKernels& kernel, const MatrixView& x,
                      std::span<const Product> products, bool accumulate);

/// A table's levels + 128: the unsigned numbers that VNNI multiplies.
constexpr std::array<uint8_t, 16> unsigned_levels(const Levels& levels) {
  std::array<uint8_t, 16> sums{};
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<uint8_t>(levels[i] + 128);
  return sums;
}

/// Asks for bytes of the panel some way ahead of `from`: over several rows a loop runs out of
/// instructions in flight before the processor's own prefetching covers the way to memory.
[[gnu::always_inline]] inline void prefetch(const std::byte* from, int bytes) {
  constexpr int kAhead = 4096;
  for (int i = 0; i < bytes; i += kQuantLoad) __builtin_prefetch(from + kAhead + i);
}

/// Rounds 32 values, in loops that compilers turn into vectors of whatever width they may use.
/// Blocks with an infinity or a NaN get a NaN scale, so that every product with them is NaN.
[[gnu::always_inline]] inline void round_block(const BlockFormat& format, const float* x,
                                               RoundedBlock& out) {
  uint32_t top = 0;  // magnitudes order as their bits do, infinities and NaNs on top
  for (int i = 0; i < kQuantBlock; ++i) {
    top = std::max(top, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  }
  auto largest = std::bit_cast<float>(top);
  bool finite = top < 0x7f800000u;
  bool tiny = largest < 0x1p-100f;  // 127 / largest might overflow; counts as 0
  float inverse = finite && !tiny ? 127.0f / largest : 0.0f;
  out.scale = !finite ? std::numeric_limits<float>::quiet_NaN() : tiny ? 0.0f : largest / 127.0f;
  int32_t sums[2] = {};
  for (int i = 0; i < kQuantBlock; ++i) {
    // Adding 1.5 · 2^23 rounds to nearest even and leaves the whole number in the low bits.
    float scaled = finite ? x[i] * inverse : 0.0f;
    int32_t rounded = std::bit_cast<int32_t>(scaled + 12582912.0f) - 0x4b400000;
    out.levels[i] = static_cast<int8_t>(rounded);
  }
  for (int i = 0; i < kQuantBlock / 2; ++i) sums[0] += out.levels[i];
  for (int i = kQuantBlock / 2; i < kQuantBlock; ++i) sums[1] += out.levels[i];
  if (format.group_size() == kQuantBlock) sums[0] += sums[1];
  for (int g = 0; g < 2; ++g) {
    out.bias[g] = -(format.levels ? 128 : format.zero) * sums[g];
    out.sum[g] = out.scale * static_cast<float>(sums[g]);
  }
}

[[gnu::always_inline]] inline void round_blocks(const BlockFormat& format, const float* x,
                                                int64_t k, RoundedBlock* out) {
  for (int64_t i = 0; i < k; i += kQuantBlock, ++out) round_block(format, x + i, *out);
}

}  // namespace millrace
