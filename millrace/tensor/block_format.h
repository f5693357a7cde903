// GGUF's quantised blocks as data: where in a block each number keeps its bits, and one reader and
// one writer that follow those tables for all thirteen types.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "millrace/base/error.h"
#include "millrace/tensor/dtype.h"

namespace millrace {

constexpr int kMaxBlock = 256;  ///< values in the largest block, the "super-block" of K-quants
constexpr int kRun = 16;        ///< neighbouring values whose bits lie in neighbouring bytes
constexpr int kMaxGroups = kMaxBlock / kRun;
constexpr int kMaxGroup = 32;  ///< values in the largest group that shares a scale

/// A few bits of one small number: `bits` bits of the block's byte `byte`, from bit `shift` up.
struct BitField {
  uint8_t byte = 0;
  uint8_t shift = 0;
  uint8_t bits = 0;  // 0: no such part
};

/// Sixteen values in a row that keep some of their bits at the same place of neighbouring bytes.
struct BitRun {
  uint8_t byte = 0;  // value i is in byte + i
  uint8_t shift = 0;
};

/// The levels of the sixteen codes of a type where they are no plain numbers.
using Levels = std::array<int8_t, 16>;

/// Of iq4_nl and iq4_xs: finer near zero, where weights are dense.
inline constexpr Levels kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
/// Of mxfp4, doubled: floats of two bits of exponent and one of mantissa (Open Compute Project,
/// Microscaling Formats 1.0).
inline constexpr Levels kFp4Levels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// A value is `scale * level + min`: its code's level, and its group's scale and min. Codes are
/// unsigned; a code's level is code - zero, or its place in a table. The scale of group g is
/// d * scales[g], its min -(m * mins[g]) (block types without integer scales: d and m).
struct BlockFormat {
  int values;            // in a block
  int bytes;             // of a block
  int groups;            // of values that share a scale; values / groups is 16 or 32
  int low_bits;          // of a code in `low`
  int high_bits;         // of a code in `high`, above the low ones
  int zero;              // level 0's code
  bool signed_codes;     // stored as two's complement, not as code (q8_0)
  const Levels* levels;  // of the codes; null: code - zero
  bool has_min;
  bool has_scales;     // integer scales (K-quants and iq4_xs)
  bool power_of_two;   // d is the byte of an exponent: 2^(byte - 128)
  bool high_in_a_row;  // high bits lie as a row of single bits, value i in bit i (q5_0, q5_1)
  int scale_zero;      // subtracted from a stored integer scale
  int d, m;            // bytes at which the f16 factors are
  int scale_min;       // smallest and
  int scale_max;       // largest integer scale; mins go from 0 to scale_max
  std::array<BitRun, kMaxGroups> low, high;                    // of values 16 i to 16 i + 15
  std::array<std::array<BitField, 2>, kMaxGroups> scale, min;  // low part, high part

  constexpr int group_size() const { return values / groups; }
  constexpr int code_bits() const { return low_bits + high_bits; }
  constexpr int max_code() const { return (1 << code_bits()) - 1; }
};

/// A block taken apart.
struct Block {
  uint16_t d, m;  // factors: f16, or bf16 where they are powers of two
  std::array<int8_t, kMaxGroups> scales;
  std::array<int8_t, kMaxGroups> mins;
  std::array<uint8_t, kMaxBlock> codes;
};

/// The format of a quantised dtype, also at compile time. Throws Error for other dtypes.
constexpr const BlockFormat& block_format(DType dtype);

/// Its place among the thirteen, q4_0 first. Throws Error for other dtypes.
constexpr size_t block_type_index(DType dtype);

/// Takes the block at `from` apart. Types without integer scales get scales of 1 and mins of -1.
void read_block(const BlockFormat& format, const std::byte* from, Block& block);

/// The inverse: puts a block together at `to`.
void write_block(const BlockFormat& format, const Block& block, std::byte* to);

/// The block's values, exactly as ggml computes them.
void dequantize_block(const BlockFormat& format, const Block& block, float* to);

/// A factor of a block in f32.
inline float factor_value(const BlockFormat& format, uint16_t bits) {
  return format.power_of_two ? to_float(BFloat16{bits}) : to_float(Float16{bits});
}

/// The level of a code.
constexpr int level(const BlockFormat& format, int code) {
  return format.levels ? (*format.levels)[static_cast<size_t>(code)] : code - format.zero;
}

namespace block_formats {

/// 32 values with one scale: the high nibbles of 16 bytes follow the low ones.
constexpr BlockFormat legacy(int low_bits, int high_bits, int zero, bool has_min) {
  BlockFormat f{};
  f.values = 32;
  f.groups = 1;
  f.low_bits = low_bits;
  f.high_bits = high_bits;
  f.zero = zero;
  f.has_min = has_min;
  f.d = 0;
  f.m = 2;
  f.scale_min = f.scale_max = 1;
  int at = has_min ? 4 : 2;
  f.high_in_a_row = high_bits != 0;
  for (int i = 0; i < 2; ++i) f.high[i] = {uint8_t(at + 2 * i), 0};
  if (high_bits != 0) at += 4;
  for (int i = 0; i < 2; ++i) {
    f.low[i] =
        low_bits == 4 ? BitRun{uint8_t(at), uint8_t(4 * i)} : BitRun{uint8_t(at + 16 * i), 0};
  }
  f.bytes = at + 4 * low_bits;
  return f;
}

/// 256 values in groups with integer scales.
constexpr BlockFormat super(int bytes, int groups, int low_bits, int high_bits, int zero, int d) {
  BlockFormat f{};
  f.values = kMaxBlock;
  f.bytes = bytes;
  f.groups = groups;
  f.low_bits = low_bits;
  f.high_bits = high_bits;
  f.zero = zero;
  f.has_scales = true;
  f.d = d;
  f.m = d + 2;
  return f;
}

constexpr BlockFormat q8_0() {
  BlockFormat f = legacy(8, 0, 128, false);
  f.signed_codes = true;
  return f;
}

constexpr BlockFormat iq4_nl() {
  BlockFormat f = legacy(4, 0, 0, false);
  f.levels = &kIq4Levels;
  return f;
}

/// The factor is one byte, so all others stand a byte further to the front.
constexpr BlockFormat mxfp4() {
  BlockFormat f = legacy(4, 0, 0, false);
  f.levels = &kFp4Levels;
  f.power_of_two = true;
  for (size_t i = 0; i < 2; ++i) --f.low[i].byte;
  --f.bytes;
  return f;
}

/// Two bits a value: in each half of the block, four quarters share 32 bytes.
constexpr void place_two_bits(std::array<BitRun, kMaxGroups>& runs, int at) {
  for (int i = 0; i < 16; ++i) {
    runs[i] = {uint8_t(at + i / 8 * 32 + i % 2 * 16), uint8_t(i / 2 % 4 * 2)};
  }
}

constexpr BlockFormat q2_k() {
  BlockFormat f = super(84, 16, 2, 0, 0, 80);
  f.has_min = true;
  f.scale_max = 15;
  place_two_bits(f.low, 16);
  for (uint8_t g = 0; g < 16; ++g) {
    f.scale[g][0] = {g, 0, 4};
    f.min[g][0] = {g, 4, 4};
  }
  return f;
}

constexpr BlockFormat q3_k() {
  BlockFormat f = super(110, 16, 2, 1, 4, 108);
  f.scale_zero = 32;
  f.scale_min = -32;
  f.scale_max = 31;
  place_two_bits(f.low, 32);
  for (int i = 0; i < 16; ++i) f.high[i] = {uint8_t(i % 2 * 16), uint8_t(i / 2)};
  for (int g = 0; g < 16; ++g) {
    f.scale[g][0] = {uint8_t(96 + g % 8), uint8_t(g / 8 * 4), 4};
    f.scale[g][1] = {uint8_t(104 + g % 4), uint8_t(g / 4 * 2), 2};
  }
  return f;
}

/// What q4_k and q5_k share: eight 6-bit scales and mins in 12 bytes, nibbles from byte `at`.
constexpr BlockFormat with_packed_mins(BlockFormat f, int at) {
  f.has_min = true;
  f.scale_max = 63;
  for (int g = 0; g < 4; ++g) {
    f.scale[g][0] = {uint8_t(4 + g), 0, 6};
    f.min[g][0] = {uint8_t(8 + g), 0, 6};
    f.scale[g + 4][0] = {uint8_t(12 + g), 0, 4};
    f.min[g + 4][0] = {uint8_t(12 + g), 4, 4};
    f.scale[g + 4][1] = {uint8_t(4 + g), 6, 2};
    f.min[g + 4][1] = {uint8_t(8 + g), 6, 2};
  }
  for (int i = 0; i < 16; ++i) {
    f.low[i] = {uint8_t(at + i / 4 * 32 + i % 2 * 16), uint8_t(i / 2 % 2 * 4)};
  }
  return f;
}

constexpr BlockFormat q4_k() {
  return with_packed_mins(super(144, 8, 4, 0, 0, 0), 16);
}

constexpr BlockFormat q5_k() {
  BlockFormat f = with_packed_mins(super(176, 8, 4, 1, 0, 0), 48);
  for (int i = 0; i < 16; ++i) f.high[i] = {uint8_t(16 + i % 2 * 16), uint8_t(i / 2)};
  return f;
}

constexpr BlockFormat q6_k() {
  BlockFormat f = super(210, 16, 4, 2, 32, 208);
  f.scale_min = -128;
  f.scale_max = 127;
  for (int i = 0; i < 16; ++i) {
    f.low[i] = {uint8_t(i / 8 * 64 + i % 4 * 16), uint8_t(i / 4 % 2 * 4)};
  }
  place_two_bits(f.high, 128);
  for (int g = 0; g < 16; ++g) f.scale[g][0] = {uint8_t(192 + g), 0, 8};
  return f;
}

constexpr BlockFormat iq4_xs() {
  BlockFormat f = super(136, 8, 4, 0, 0, 0);
  f.levels = &kIq4Levels;
  f.scale_zero = 32;
  f.scale_min = -32;
  f.scale_max = 31;
  for (int i = 0; i < 16; ++i) f.low[i] = {uint8_t(8 + i / 2 * 16), uint8_t(i % 2 * 4)};
  for (int g = 0; g < 8; ++g) {
    f.scale[g][0] = {uint8_t(4 + g / 2), uint8_t(g % 2 * 4), 4};
    f.scale[g][1] = {uint8_t(2 + g / 4), uint8_t(g % 4 * 2), 2};
  }
  return f;
}

constexpr BlockFormat kAll[] = {
    legacy(4, 0, 8, false),   // q4_0
    legacy(4, 0, 0, true),    // q4_1
    legacy(4, 1, 16, false),  // q5_0
    legacy(4, 1, 0, true),    // q5_1
    q8_0(),
    q2_k(),
    q3_k(),
    q4_k(),
    q5_k(),
    q6_k(),
    iq4_nl(),
    iq4_xs(),
    mxfp4(),
};

}  // namespace block_formats

constexpr size_t block_type_index(DType dtype) {
  if (dtype < DType::q4_0 || dtype > DType::mxfp4) fail("{} is no block format", info(dtype).name);
  return static_cast<size_t>(dtype) - static_cast<size_t>(DType::q4_0);
}

constexpr const BlockFormat& block_format(DType dtype) {
  return block_formats::kAll[block_type_index(dtype)];
}

}  // namespace millrace
