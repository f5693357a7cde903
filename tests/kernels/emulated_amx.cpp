#include "tests/kernels/emulated_amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <signal.h>
#include <ucontext.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "millrace/kernels/amx_tiles.h"

namespace millrace {
namespace {

// The tiles of a thread

using Bytes = std::array<std::byte, kTileRows * kTileBytes>;
struct Tiles {
  bool configured;
  TileConfig config;
  std::array<Bytes, 8> bytes;
};
thread_local Tiles tiles = {};

void check(bool allowed, const char* what) {
  if (allowed) return;
  std::fprintf(stderr, "AMX would refuse this: %s\n", what);
  std::abort();
}

size_t rows(size_t tile) {
  return tiles.config.rows[tile];
}

size_t row_bytes(size_t tile) {
  return tiles.config.row_bytes[tile];
}

template <typename T>
T get(size_t tile, size_t row, size_t i) {
  T value;
  std::memcpy(&value, &tiles.bytes[tile][row * kTileBytes + i * sizeof(T)], sizeof(T));
  return value;
}

template <typename T>
void put(size_t tile, size_t row, size_t i, T value) {
  std::memcpy(&tiles.bytes[tile][row * kTileBytes + i * sizeof(T)], &value, sizeof(T));
}

// The instructions, as the manual writes them down

void load_config(const TileConfig& config) {
  check(config.palette == 1 && config.start_row == 0, "a palette");
  for (uint8_t byte : config.reserved0) check(byte == 0, "reserved bytes");
  for (size_t t = 0; t < 16; ++t) {
    check(config.rows[t] <= kTileRows && config.row_bytes[t] <= kTileBytes, "the size of a tile");
    check((config.rows[t] == 0) == (config.row_bytes[t] == 0), "half the size of a tile");
    check(t < 8 || config.rows[t] == 0, "reserved tiles");
  }
  tiles = {true, config, {}};
}

void check_tile(size_t tile) {
  check(tiles.configured && tile < 8 && rows(tile) > 0 && row_bytes(tile) % 4 == 0,
        "a tile that is not configured");
}

void load(size_t tile, const std::byte* from, int64_t stride) {
  check_tile(tile);
  tiles.bytes[tile] = {};
  for (size_t r = 0; r < rows(tile); ++r, from += stride) {
    std::memcpy(&tiles.bytes[tile][r * kTileBytes], from, row_bytes(tile));
  }
}

void store(size_t tile, std::byte* to, int64_t stride) {
  check_tile(tile);
  for (size_t r = 0; r < rows(tile); ++r, to += stride) {
    std::memcpy(to, &tiles.bytes[tile][r * kTileBytes], row_bytes(tile));
  }
}

void check_product(size_t sum, size_t left, size_t right) {
  for (size_t tile : {sum, left, right}) check_tile(tile);
  check(sum != left && left != right && sum != right, "the same tile twice");
  check(rows(sum) == rows(left) && row_bytes(sum) == row_bytes(right) &&
            row_bytes(left) == 4 * rows(right),
        "tiles that do not fit each other");
}

/// Denormals are zero, on the way in and on the way out.
float flushed(float value) {
  return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}

float bf16(size_t tile, size_t row, size_t i) {
  return flushed(std::bit_cast<float>(uint32_t{get<uint16_t>(tile, row, i)} << 16));
}

/// The even products of a row and a column are summed from zero in ascending order, the odd ones
/// by themselves; both sums are added, and that to the destination.
void multiply_bf16(size_t sum, size_t left, size_t right) {
  check_product(sum, left, right);
  for (size_t m = 0; m < rows(sum); ++m) {
    for (size_t n = 0; n < row_bytes(sum) / 4; ++n) {
      float parts[2] = {};
      for (size_t k = 0; k < rows(right); ++k) {
        for (size_t i = 0; i < 2; ++i) {
          float a = bf16(left, m, 2 * k + i), b = bf16(right, k, 2 * n + i);
          parts[i] = flushed(std::fma(a, b, parts[i]));
        }
      }
      float old = flushed(get<float>(sum, m, n));
      put(sum, m, n, flushed(old + flushed(parts[0] + parts[1])));
    }
  }
}

void multiply_int8(size_t sum, size_t left, size_t right) {
  check_product(sum, left, right);
  for (size_t m = 0; m < rows(sum); ++m) {
    for (size_t n = 0; n < row_bytes(sum) / 4; ++n) {
      auto total = get<uint32_t>(sum, m, n);  // wraps around
      for (size_t k = 0; k < rows(right); ++k) {
        for (size_t i = 0; i < 4; ++i) {
          int product = get<int8_t>(left, m, 4 * k + i) * get<int8_t>(right, k, 4 * n + i);
          total += static_cast<uint32_t>(product);
        }
      }
      put(sum, m, n, total);
    }
  }
}

// From bytes of code to instructions

/// The machine's registers in the order of their numbers.
constexpr int kRegisters[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                              REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                              REG_R12, REG_R13, REG_R14, REG_R15};

/// An instruction with a VEX prefix of three bytes.
struct Instruction {
  uint8_t opcode, prefix;  // prefix: 0 none, 1 66, 2 f3, 3 f2
  bool memory;             // the operand is in memory, not in a register
  uint8_t reg, rm, vvvv;   // numbers of registers
  int64_t address, stride;
  int length;
};

Instruction decode(const uint8_t* code, const greg_t* registers) {
  Instruction in{};
  in.prefix = code[2] & 3;
  in.vvvv = ~(code[2] >> 3) & 15;
  in.opcode = code[3];
  const int mod = code[4] >> 6, rm = code[4] & 7;
  in.memory = mod != 3;
  in.reg = code[4] >> 3 & 7;
  in.rm = static_cast<uint8_t>(rm);
  in.length = 5;
  if (!in.memory) return in;
  const auto value = [&](int number, int extension) {  // the prefix has register bits inverted
    return static_cast<int64_t>(registers[kRegisters[number | ((code[1] & extension) ? 0 : 8)]]);
  };
  int base = rm;
  if (rm == 4) {
    const uint8_t sib = code[in.length++];
    base = sib & 7;
    const int index = sib >> 3 & 7;
    if (index != 4 || (code[1] & 0x40) == 0) in.stride = value(index, 0x40) << (sib >> 6);
  }
  const bool no_base = mod == 0 && base == 5;  // relative to the next instruction
  check(!no_base || rm == 5, "an address without base");
  if (!no_base) in.address = value(base, 0x20);
  if (mod == 1) in.address += static_cast<int8_t>(code[in.length++]);
  if (mod == 2 || no_base) {
    int32_t far;
    std::memcpy(&far, code + in.length, 4);
    in.length += 4;
    in.address += far;
    if (no_base) in.address += reinterpret_cast<int64_t>(code + in.length);
  }
  return in;
}

/// Returns false for an instruction that is none of those.
bool execute(const Instruction& in) {
  auto* memory = reinterpret_cast<std::byte*>(in.address);
  switch (in.opcode << 4 | in.prefix << 1 | (in.memory ? 1 : 0)) {
    case 0x491:  // ldtilecfg
      load_config(*reinterpret_cast<const TileConfig*>(memory));
      return true;
    case 0x493:  // sttilecfg
      *reinterpret_cast<TileConfig*>(memory) = tiles.config;
      return true;
    case 0x490:  // tilerelease
      tiles = {};
      return true;
    case 0x496:  // tilezero
      check_tile(in.reg);
      tiles.bytes[in.reg] = {};
      return true;
    case 0x4b7:  // tileloadd
      load(in.reg, memory, in.stride);
      return true;
    case 0x4b5:  // tilestored
      store(in.reg, memory, in.stride);
      return true;
    case 0x5c4:  // tdpbf16ps
      multiply_bf16(in.reg, in.rm, in.vvvv);
      return true;
    case 0x5e6:  // tdpbssd
      multiply_int8(in.reg, in.rm, in.vvvv);
      return true;
    default:
      return false;
  }
}

void carry_out(int number, siginfo_t*, void* where) {
  greg_t* registers = static_cast<ucontext_t*>(where)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  if (code[0] == 0xc4 && (code[1] & 0x1f) == 2) {
    Instruction in = decode(code, registers);
    if (execute(in)) {
      registers[REG_RIP] += in.length;
      return;
    }
  }
  signal(number, SIG_DFL);  // back to it, and down
}

}  // namespace

void emulate_amx() {
  struct sigaction action = {};
  action.sa_sigaction = carry_out;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace millrace
#else
namespace millrace {
void emulate_amx() {}
}  // namespace millrace
#endif
