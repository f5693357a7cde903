// The number formats that a tensor can hold, GGUF's quantised blocks among them.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace {

enum class DType : uint8_t {
  f32,
  f16,
  bf16,
  i8,
  u8,
  i16,
  i32,
  i64,
  f64,
  boolean,
  f8_e4m3,  // without infinities, as published weights have it (Micikevicius et al. 2022)
  f8_e5m2,
  f8_e8m0,  // a power of two (Open Compute Project, Microscaling Formats 1.0)
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
};

/// How a dtype is stored: `block_size` values in `block_bytes` bytes (1 value for plain types).
struct DTypeInfo {
  DType dtype;
  std::string_view name;  // "bf16", "q4_k"
  int block_size;
  int block_bytes;
};

/// Never fails for a valid enumerator.
const DTypeInfo& info(DType dtype);

/// By its name here, case-insensitively ("BF16", "Q4_K"); nullopt when unknown.
std::optional<DType> dtype_from_name(std::string_view name);

/// Whether the type is a block format with scales, to be read through dequantize.
inline bool is_quantized(DType dtype) {
  return info(dtype).block_size > 1;
}

/// Bytes of `count` values; `count` must be a multiple of the block size.
inline uint64_t dtype_bytes(DType dtype, uint64_t count) {
  const DTypeInfo& i = info(dtype);
  return count / static_cast<uint64_t>(i.block_size) * static_cast<uint64_t>(i.block_bytes);
}

/// bfloat16: the upper half of an f32.
struct BFloat16 {
  uint16_t bits = 0;
};
/// IEEE 754 binary16.
struct Float16 {
  uint16_t bits = 0;
};

inline float to_float(BFloat16 x) {
  return std::bit_cast<float>(uint32_t{x.bits} << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline BFloat16 to_bfloat16(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

/// An f8_e4m3, f8_e5m2 or f8_e8m0 number.
float float8_to_float(DType dtype, uint8_t bits);

float to_float(Float16 x);
/// Rounds to nearest, ties to even; overflow becomes infinity; NaN stays NaN.
Float16 to_float16(float x);

}  // namespace millrace
