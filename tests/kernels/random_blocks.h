// Quantised weights of random bits, of every type.
#pragma once

#include <cstring>

#include "millrace/base/random.h"
#include "millrace/tensor/block_format.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

inline constexpr DType kBlockTypes[] = {
    DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1,   DType::q8_0,   DType::q2_k, DType::q3_k,
    DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

/// Blocks of any bits, with factors that are ordinary numbers: every code and scale occurs.
inline Tensor random_blocks(DType dtype, int64_t rows, int64_t cols, uint64_t seed) {
  Tensor t(dtype, {rows, cols});
  const BlockFormat& format = block_format(dtype);
  Random random(seed);
  for (size_t at = 0; at < t.bytes(); at += static_cast<size_t>(format.bytes)) {
    std::byte* block = t.data() + at;
    for (int i = 0; i < format.bytes; ++i) block[i] = static_cast<std::byte>(random.bits());
    Float16 d = to_float16(static_cast<float>(random.normal()));
    Float16 m = to_float16(static_cast<float>(random.normal()));
    if (format.power_of_two) {
      block[format.d] = static_cast<std::byte>(120 + random.bits() % 16);
      continue;
    }
    std::memcpy(block + format.d, &d, 2);
    if (format.has_min) std::memcpy(block + format.m, &m, 2);
  }
  return t;
}

}  // namespace millrace
