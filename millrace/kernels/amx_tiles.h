// The few instructions of AMX that the inner loops use, on the eight tiles that each thread has.
#pragma once

#include <array>
#include <cstdint>

#include "millrace/kernels/x86_intrinsics.h"

namespace millrace {

constexpr int kTileRows = 16;   ///< most rows of a tile
constexpr int kTileBytes = 64;  ///< most bytes of a row

/// What `ldtilecfg` reads: how many rows, of how many bytes, each of the eight tiles has.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  std::array<uint8_t, 14> reserved0 = {};
  std::array<uint16_t, 16> row_bytes = {};  // the last eight are reserved
  std::array<uint8_t, 16> rows = {};        // these too

  void shape(size_t tile, int64_t tile_rows, int64_t bytes) {
    rows[tile] = static_cast<uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace millrace

#if defined(__x86_64__)
HWY_PUSH_ATTRIBUTES("amx-tile,amx-int8,amx-bf16")

/// The instructions as assembly, since the compilers' intrinsics say too little: g++ 12 believes
/// that
/// `_tile_loadconfig` reads eight bytes and `_tile_loadd` none, and may leave out or put off what
/// was stored for them. Here each operation that touches memory is a barrier.
namespace millrace::amx {

/// Gives the tiles their shapes and fills them with zeros.
HWY_INLINE void configure(const TileConfig& config) {
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

/// To be called when a task is done: threads that hold tiles are slower to switch between.
HWY_INLINE void release() {
  asm volatile("tilerelease" : : : "memory");
}

template <int kTile>
HWY_INLINE void zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

/// Rows begin `stride` bytes apart.
template <int kTile>
HWY_INLINE void load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
HWY_INLINE void store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
}

/// kSum [m, n] += kLeft [m, k] · kRight [k / 2, n, 2], bf16 into f32 (docs/numerics.md).
template <int kSum, int kLeft, int kRight>
HWY_INLINE void multiply_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

/// kSum [m, n] += kLeft [m, k] · kRight [k / 4, n, 4], signed bytes into 32-bit integers.
template <int kSum, int kLeft, int kRight>
HWY_INLINE void multiply_int8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

}  // namespace millrace::amx

HWY_POP_ATTRIBUTES
#endif
