#include "millrace/tensor/block_format.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

int byte_at(const std::byte* block, int i) {
  return std::to_integer<int>(block[i]);
}

/// A number of two parts, the second above the first.
int read_fields(const std::array<BitField, 2>& parts, const std::byte* block) {
  int value = 0, above = 0;
  for (BitField part : parts) {
    int bits = (byte_at(block, part.byte) >> part.shift) & ((1 << part.bits) - 1);
    value |= bits << above;
    above += part.bits;
  }
  return value;
}

void write_fields(const std::array<BitField, 2>& parts, int value, std::byte* block) {
  for (BitField part : parts) {
    int bits = value & ((1 << part.bits) - 1);
    block[part.byte] |= static_cast<std::byte>(bits << part.shift);
    value >>= part.bits;
  }
}

/// The low `bits` bits of each of eight bytes.
uint64_t eight_masks(int bits) {
  return 0x0101010101010101u * ((1u << bits) - 1);
}

uint64_t load_eight(const void* from) {
  uint64_t bytes;
  std::memcpy(&bytes, from, 8);
  return bytes;
}

void read_run(BitRun run, int bits, int above, const std::byte* block, uint8_t* codes) {
  for (int i = 0; i < kRun; i += 8) {
    uint64_t part = (load_eight(block + run.byte + i) >> run.shift) & eight_masks(bits);
    uint64_t whole = load_eight(codes + i) | (part << above);
    std::memcpy(codes + i, &whole, 8);
  }
}

void write_run(BitRun run, int bits, int above, const uint8_t* codes, std::byte* block) {
  for (int i = 0; i < kRun; i += 8) {
    uint64_t part = (load_eight(codes + i) >> above) & eight_masks(bits);
    uint64_t whole = load_eight(block + run.byte + i) | (part << run.shift);
    std::memcpy(block + run.byte + i, &whole, 8);
  }
}

void read_bit_row(BitRun run, int above, const std::byte* block, uint8_t* codes) {
  for (int i = 0; i < kRun; ++i) {
    int bit = (byte_at(block, run.byte + i / 8) >> (i % 8)) & 1;
    codes[i] = static_cast<uint8_t>(codes[i] | (bit << above));
  }
}

void write_bit_row(BitRun run, int above, const uint8_t* codes, std::byte* block) {
  for (int i = 0; i < kRun; ++i) {
    block[run.byte + i / 8] |= static_cast<std::byte>(((codes[i] >> above) & 1) << (i % 8));
  }
}

/// bf16's bits of 2^(exponent - 128); the two smallest are subnormal.
uint16_t bits_of_power(int exponent) {
  return static_cast<uint16_t>(exponent > 1 ? (exponent - 1) << 7 : 0x20 << exponent);
}

/// The inverse; what is below the smallest power becomes that.
int exponent_of(uint16_t bits) {
  return bits >= 0x80 ? (bits >> 7) + 1 : bits >= 0x40 ? 1 : 0;
}

}  // namespace

void read_block(const BlockFormat& format, const std::byte* from, Block& block) {
  if (format.power_of_two) {
    block.d = bits_of_power(std::to_integer<int>(from[format.d]));
  } else {
    std::memcpy(&block.d, from + format.d, 2);
  }
  block.m = 0;
  if (format.has_min) std::memcpy(&block.m, from + format.m, 2);
  for (size_t g = 0; g < static_cast<size_t>(format.groups); ++g) {
    int scale = read_fields(format.scale[g], from) - format.scale_zero;
    block.scales[g] = format.has_scales ? static_cast<int8_t>(scale) : int8_t{1};
    int min = read_fields(format.min[g], from);
    block.mins[g] = format.has_scales ? static_cast<int8_t>(min) : int8_t{-1};
  }
  std::fill_n(block.codes.begin(), format.values, uint8_t{0});
  for (size_t run = 0; run < static_cast<size_t>(format.values / kRun); ++run) {
    uint8_t* codes = &block.codes[run * kRun];
    read_run(format.low[run], format.low_bits, 0, from, codes);
    if (format.high_in_a_row) {
      read_bit_row(format.high[run], format.low_bits, from, codes);
    } else if (format.high_bits > 0) {
      read_run(format.high[run], format.high_bits, format.low_bits, from, codes);
    }
    // Two's complement and offset binary differ in the top bit.
    for (int i = 0; i < kRun && format.signed_codes; ++i) codes[i] ^= 0x80u;
  }
}

void write_block(const BlockFormat& format, const Block& block, std::byte* to) {
  std::memset(to, 0, static_cast<size_t>(format.bytes));
  if (format.power_of_two) {
    to[format.d] = static_cast<std::byte>(exponent_of(block.d));
  } else {
    std::memcpy(to + format.d, &block.d, 2);
  }
  if (format.has_min) std::memcpy(to + format.m, &block.m, 2);
  for (size_t g = 0; g < static_cast<size_t>(format.groups) && format.has_scales; ++g) {
    write_fields(format.scale[g], block.scales[g] + format.scale_zero, to);
    write_fields(format.min[g], block.mins[g], to);
  }
  for (size_t run = 0; run < static_cast<size_t>(format.values / kRun); ++run) {
    uint8_t codes[kRun];
    std::memcpy(codes, &block.codes[run * kRun], kRun);
    for (int i = 0; i < kRun && format.signed_codes; ++i) codes[i] ^= 0x80u;
    write_run(format.low[run], format.low_bits, 0, codes, to);
    if (format.high_in_a_row) {
      write_bit_row(format.high[run], format.low_bits, codes, to);
    } else if (format.high_bits > 0) {
      write_run(format.high[run], format.high_bits, format.low_bits, codes, to);
    }
  }
}

void dequantize_block(const BlockFormat& format, const Block& block, float* to) {
  float d = factor_value(format, block.d);
  float m = factor_value(format, block.m);
  int size = format.group_size();
  for (int g = 0; g < format.groups; ++g) {
    float scale = d * static_cast<float>(block.scales[static_cast<size_t>(g)]);
    float min = -(m * static_cast<float>(block.mins[static_cast<size_t>(g)]));
    for (int i = g * size; i < (g + 1) * size; ++i) {
      float value = scale * static_cast<float>(level(format, block.codes[static_cast<size_t>(i)]));
      to[i] = format.has_min ? value + min : value;
    }
  }
}

}  // namespace millrace
