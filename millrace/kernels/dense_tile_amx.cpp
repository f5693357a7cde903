// The inner loops of bf16 products where the processor has AMX (Sapphire Rapids on), in tiles of
// 16 × 16 sums. A panel's 32 outputs are two tiles of w and lie in memory as the instruction wants.
#include <algorithm>
#include <cstring>

#include "millrace/kernels/amx_tiles.h"
#include "millrace/kernels/dense_tile.h"

#if defined(__x86_64__)
HWY_PUSH_ATTRIBUTES("amx-tile,amx-int8,amx-bf16")

namespace millrace {
namespace {

constexpr int64_t kPairs = 16;                        // of k in a tile
constexpr int64_t kPairBytes = kPanel * 4;            // of one pair of a panel
constexpr int64_t kDepthBytes = kPairs * kPairBytes;  // of a panel over a tile's k
constexpr int64_t kHalf = kTileBytes;                 // from the left half of a panel to the right

/// Tiles 0 and 1 are sums of `first` rows, 2 and 3 of `second` more rows, if any; 4 and 5 hold
/// those rows of x, 6 and 7 a panel of w.
TileConfig shapes(int64_t first, int64_t second) {
  TileConfig config;
  for (size_t tile : {0, 1, 4}) config.shape(tile, first, kTileBytes);
  for (size_t tile : {2, 3, 5}) config.shape(tile, second, second > 0 ? kTileBytes : 0);
  for (size_t tile : {6, 7}) config.shape(tile, kPairs, kTileBytes);
  return config;
}

template <int kTile>
void start(const Tile& tile, const float* y) {
  if (tile.accumulate) return amx::load<kTile>(y, tile.y_stride * 4);
  amx::zero<kTile>();
}

template <int kTile>
void finish(const Tile& tile, float* y) {
  amx::store<kTile>(y, tile.y_stride * 4);
}

/// Calls `body(x, w)` for every 32 values of k, with pointers to them in x and in a panel. Where
/// the panel ends before the tile does, what follows it in memory must not be read as weights:
/// zeros fill a copy. (x is filled with zeros by pack_x.)
template <typename Body>
void for_each_depth(const Tile& tile, const std::byte* x, const std::byte* w, const Body& body) {
  int64_t whole = tile.steps / kPairs;
  for (int64_t i = 0; i < whole; ++i, x += kTileBytes, w += kDepthBytes) body(x, w);
  if (tile.steps % kPairs == 0) return;
  alignas(64) std::byte last[kDepthBytes] = {};
  std::memcpy(last, w, static_cast<size_t>(tile.steps % kPairs * kPairBytes));
  body(x, last);
}

/// 17 to 32 rows × one panel: four tiles of sums, each operand loaded for two of them.
void multiply_square(const Tile& tile, int64_t row, int64_t panel) {
  float* top = tile.y + row * tile.y_stride + panel * kPanel;
  float* bottom = top + kTileRows * tile.y_stride;
  start<0>(tile, top);
  start<1>(tile, top + kTileRows);
  start<2>(tile, bottom);
  start<3>(tile, bottom + kTileRows);
  for_each_depth(tile, tile.x + row * kRowStride, tile.w + panel * tile.panel_stride,
                 [](const std::byte* x, const std::byte* w) {
                   amx::load<6>(w, kPairBytes);
                   amx::load<4>(x, kRowStride);
                   amx::multiply_bf16<0, 4, 6>();
                   amx::load<7>(w + kHalf, kPairBytes);
                   amx::multiply_bf16<1, 4, 7>();
                   amx::load<5>(x + kTileRows * kRowStride, kRowStride);
                   amx::multiply_bf16<2, 5, 6>();
                   amx::multiply_bf16<3, 5, 7>();
                 });
  finish<0>(tile, top);
  finish<1>(tile, top + kTileRows);
  finish<2>(tile, bottom);
  finish<3>(tile, bottom + kTileRows);
}

/// Up to 16 rows × one panel.
void multiply_flat(const Tile& tile, int64_t row, int64_t panel) {
  float* y = tile.y + row * tile.y_stride + panel * kPanel;
  start<0>(tile, y);
  start<1>(tile, y + kTileRows);
  for_each_depth(tile, tile.x + row * kRowStride, tile.w + panel * tile.panel_stride,
                 [](const std::byte* x, const std::byte* w) {
                   amx::load<4>(x, kRowStride);
                   amx::load<6>(w, kPairBytes);
                   amx::multiply_bf16<0, 4, 6>();
                   amx::load<7>(w + kHalf, kPairBytes);
                   amx::multiply_bf16<1, 4, 7>();
                 });
  finish<0>(tile, y);
  finish<1>(tile, y + kTileRows);
}

/// A tile of any number of rows: squares of 32, then what is left of them.
void tile_bf16(DType /*bf16*/, const Tile& tile) {
  int64_t squares = tile.rows / (2 * kTileRows) * (2 * kTileRows);
  if (squares > 0) {
    amx::configure(shapes(kTileRows, kTileRows));
    for (int64_t panel = 0; panel < tile.panels; ++panel) {
      for (int64_t row = 0; row < squares; row += 2 * kTileRows) {
        multiply_square(tile, row, panel);
      }
    }
  }
  int64_t left = tile.rows - squares;
  if (left > 0) {
    int64_t first = std::min<int64_t>(left, kTileRows);
    amx::configure(shapes(first, left - first));
    for (int64_t panel = 0; panel < tile.panels; ++panel) {
      if (left > kTileRows) {
        multiply_square(tile, squares, panel);
      } else {
        multiply_flat(tile, squares, panel);
      }
    }
  }
  amx::release();
}

// A weight is packed and x converted as for the dot products of AVX-512: tiles want the same order.
void pack_x(const MatrixView& x, Arithmetic arithmetic, std::byte* out) {
  kAvx512Bf16DenseKernels.pack_x(x, arithmetic, out);
}

void pack_panel(const MatrixView& w, Arithmetic arithmetic, std::byte* out) {
  kAvx512Bf16DenseKernels.pack_panel(w, arithmetic, out);
}

// Tiles multiply some eight times as fast as registers do, so that w must serve more rows.
constexpr int64_t kMinBlock = 256;
constexpr int64_t kMaxBlock = 512;

}  // namespace

const DenseKernels kAmxDenseKernels{kMaxBlock,  sizeof(BFloat16), tile_bf16, pack_x,
                                    pack_panel, kMinBlock,        kMaxBlock};

}  // namespace millrace

HWY_POP_ATTRIBUTES
#endif
