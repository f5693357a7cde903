// AMX's tiles in plain C++, as Intel's manual (Software Developer's Manual, volume 2, "TDPBF16PS",
// "TDPBSSD", "LDTILECFG" …) writes them down. What the processor would refuse fails the test.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "millrace/kernels/amx_tiles.h"
#include "millrace/tensor/dtype.h"

namespace millrace {

/// The operations of AmxTiles on tiles that each thread keeps in memory.
class EmulatedTiles {
 public:
  static void configure(const TileConfig& config) {
    check(config.palette == 1 && config.start_row == 0, "palette");
    for (uint8_t byte : config.reserved0) check(byte == 0, "reserved bytes");
    for (size_t t = 0; t < 16; ++t) {
      check(config.rows[t] <= kTileRows && config.row_bytes[t] <= kTileBytes, "size of a tile");
      check((config.rows[t] == 0) == (config.row_bytes[t] == 0), "half a size of a tile");
      check(t < 8 || config.rows[t] == 0, "reserved tiles");
    }
    state() = {true, config, {}};
  }
  static void release() { state() = {}; }
  static bool configured() { return state().configured; }
  static const TileConfig& config() { return state().config; }

  template <int kTile>
  static void zero() {
    used(kTile) = {};
  }
  template <int kTile>
  static void load(const void* from, int64_t stride) {
    Bytes& tile = used(kTile);
    tile = {};
    for (size_t r = 0; r < rows(kTile); ++r) {
      std::memcpy(&tile[r * kTileBytes],
                  static_cast<const std::byte*>(from) + static_cast<int64_t>(r) * stride,
                  row_bytes(kTile));
    }
  }
  template <int kTile>
  static void store(void* to, int64_t stride) {
    const Bytes& tile = used(kTile);
    for (size_t r = 0; r < rows(kTile); ++r) {
      std::memcpy(static_cast<std::byte*>(to) + static_cast<int64_t>(r) * stride,
                  &tile[r * kTileBytes], row_bytes(kTile));
    }
  }

  /// Pairs of a row times pairs of a column: the even ones are summed by themselves, from zero, in
  /// ascending order, so are the odd ones; both sums are added, and that to the destination.
  template <int kSum, int kLeft, int kRight>
  static void multiply_bf16() {
    check_product(kSum, kLeft, kRight);
    for (size_t m = 0; m < rows(kSum); ++m) {
      for (size_t n = 0; n < row_bytes(kSum) / 4; ++n) {
        float even = 0, odd = 0;
        for (size_t k = 0; k < row_bytes(kLeft) / 4; ++k) {
          even = fused(bf16(kLeft, m, 2 * k), bf16(kRight, k, 2 * n), even);
          odd = fused(bf16(kLeft, m, 2 * k + 1), bf16(kRight, k, 2 * n + 1), odd);
        }
        float sum = get<float>(kSum, m, n);
        put(kSum, m, n, flushed(flushed(sum) + flushed(even + odd)));
      }
    }
  }

  template <int kSum, int kLeft, int kRight>
  static void multiply_int8() {
    check_product(kSum, kLeft, kRight);
    for (size_t m = 0; m < rows(kSum); ++m) {
      for (size_t n = 0; n < row_bytes(kSum) / 4; ++n) {
        auto sum = get<uint32_t>(kSum, m, n);  // wraps around
        for (size_t k = 0; k < row_bytes(kLeft) / 4; ++k) {
          for (size_t i = 0; i < 4; ++i) {
            int product = get<int8_t>(kLeft, m, 4 * k + i) * get<int8_t>(kRight, k, 4 * n + i);
            sum += static_cast<uint32_t>(product);
          }
        }
        put(kSum, m, n, sum);
      }
    }
  }

 private:
  using Bytes = std::array<std::byte, kTileRows * kTileBytes>;
  struct State {
    bool configured = false;
    TileConfig config;
    std::array<Bytes, 8> tiles;
  };
  static State& state() {
    thread_local State state;
    return state;
  }
  static size_t rows(size_t tile) { return state().config.rows[tile]; }
  static size_t row_bytes(size_t tile) { return state().config.row_bytes[tile]; }

  /// The processor would raise an exception; a thread of the pool cannot throw through a kernel.
  static void check(bool good, const char* what) {
    if (good) return;
    ADD_FAILURE() << "AMX would refuse: " << what;
    std::abort();
  }
  static Bytes& used(size_t tile) {
    check(state().configured && rows(tile) > 0 && row_bytes(tile) % 4 == 0,
          "a tile not configured");
    return state().tiles[tile];
  }
  static void check_product(size_t sum, size_t left, size_t right) {
    for (size_t tile : {sum, left, right}) used(tile);
    check(sum != left && left != right && sum != right, "the same tile twice");
    check(rows(sum) == rows(left) && row_bytes(sum) == row_bytes(right) &&
              row_bytes(left) == 4 * rows(right),
          "tiles that do not fit each other");
  }
  template <typename T>
  static T get(size_t tile, size_t row, size_t i) {
    T value;
    std::memcpy(&value, &state().tiles[tile][row * kTileBytes + i * sizeof(T)], sizeof(T));
    return value;
  }
  template <typename T>
  static void put(size_t tile, size_t row, size_t i, T value) {
    std::memcpy(&state().tiles[tile][row * kTileBytes + i * sizeof(T)], &value, sizeof(T));
  }

  /// Denormals are zero, on the way in and on the way out.
  static float flushed(float value) {
    return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
  }
  static float fused(float a, float b, float sum) { return flushed(std::fma(a, b, sum)); }
  static float bf16(size_t tile, size_t row, size_t i) {
    return flushed(std::bit_cast<float>(uint32_t{get<uint16_t>(tile, row, i)} << 16));
  }
};

}  // namespace millrace
