// The inner loops of quantised products of many rows where the processor has AMX (Sapphire Rapids
// on): tiles of 16 × 16 integer sums. They are exact, and the floats follow in the contract's
// order, so the bits are those of every other level.
#include <algorithm>

#include "millrace/kernels/amx_tiles.h"
#include "millrace/kernels/quantized_tile.h"

#if defined(__x86_64__)
HWY_PUSH_ATTRIBUTES("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8,amx-bf16")

namespace millrace {
namespace {

constexpr int kChunk = 16;    // blocks whose weights are unpacked at a time: whole records
constexpr int kTogether = 4;  // products of tiles on their way at once

/// Part of a panel as tiles want it: signed levels, a row of 16 outputs for every four values of k,
/// and the scales and mins of each group.
struct Unpacked {
  alignas(64) int8_t levels[kChunk][kQuantSteps][kQuantLoad];
  alignas(64) float scale[kChunk][2][kQuantPanel];
  alignas(64) float min[kChunk][2][kQuantPanel];
};

/// Ors a plane of bits [above, above + bits) into the codes.
void unpack_plane(const std::byte* from, int bits, int above, int8_t (*codes)[kQuantLoad]) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
  for (int step = 0; step < kQuantSteps && bits > 0; ++step) {
    __m512i bytes = _mm512_load_si512(from + step % bits * kQuantLoad);
    __m512i part = _mm512_srl_epi16(bytes, _mm_cvtsi32_si128(step / bits * bits));
    part = _mm512_sll_epi16(_mm512_and_si512(part, mask), _mm_cvtsi32_si128(above));
    if (above > 0) part = _mm512_or_si512(part, _mm512_load_si512(codes[step]));
    _mm512_store_si512(codes[step], part);
  }
}

void unpack_levels(const BlockFormat& format, const std::byte* from, int8_t (*levels)[kQuantLoad]) {
  unpack_plane(from, format.low_bits, 0, levels);
  unpack_plane(from + format.low_bits * kQuantLoad, format.high_bits, format.low_bits, levels);
  const Levels& levels_of_codes = format.levels ? *format.levels : kIq4Levels;
  const __m512i table = _mm512_broadcast_i32x4(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels_of_codes.data())));
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(format.zero));
  for (int step = 0; step < kQuantSteps; ++step) {
    __m512i codes = _mm512_load_si512(levels[step]);
    _mm512_store_si512(levels[step], format.levels ? _mm512_shuffle_epi8(table, codes)
                                                   : _mm512_sub_epi8(codes, zero));
  }
}

/// Factors in f16 or, where they are powers of two, in bf16.
__m512 load_factors(const BlockFormat& format, const std::byte* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  if (format.power_of_two) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  return _mm512_cvtph_ps(halves);
}

__m512 signed_bytes(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/// Scales and mins of block `i` of a record.
void unpack_scales(const BlockFormat& format, const std::byte* record, int64_t i,
                   float (*scales)[kQuantPanel], float (*mins)[kQuantPanel]) {
  const PanelLayout layout = panel_layout(format);
  record += i / layout.span * layout.scale_bytes;
  __m512 d = load_factors(format, record), m = _mm512_setzero_ps();
  record += 2 * kQuantPanel;
  if (format.has_min) {
    m = load_factors(format, record);
    record += 2 * kQuantPanel;
  }
  record += i % layout.span * layout.groups * layout.group_bytes;
  for (int g = 0; g < layout.groups; ++g, record += layout.group_bytes) {
    if (!format.has_scales) {
      _mm512_store_ps(scales[g], d);
      _mm512_store_ps(mins[g], m);
      continue;
    }
    __m128i scale = _mm_loadu_si128(reinterpret_cast<const __m128i*>(record));
    __m128i min = scale;
    if (layout.packed_mins) {
      min = _mm_and_si128(_mm_srli_epi16(scale, 4), _mm_set1_epi8(15));
      scale = _mm_and_si128(scale, _mm_set1_epi8(15));
    } else if (format.has_min) {
      min = _mm_loadu_si128(reinterpret_cast<const __m128i*>(record + kQuantPanel));
    }
    _mm512_store_ps(scales[g], _mm512_mul_ps(d, signed_bytes(scale)));
    // -(m * min) = -m * min: signs do not round.
    __m512 negative = _mm512_sub_ps(_mm512_setzero_ps(), m);
    _mm512_store_ps(mins[g], _mm512_mul_ps(negative, signed_bytes(min)));
  }
}

/// Blocks [first, first + count) of the tile's panel.
void unpack(const BlockFormat& format, const QuantizedTile& tile, int64_t first, int64_t count,
            Unpacked& out) {
  const PanelLayout layout = panel_layout(format);
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* record = tile.panel + (first + i) / layout.blocks * layout.record_bytes();
    int64_t block = (first + i) % layout.blocks;
    unpack_levels(format, record + layout.codes_at() + block * layout.code_bytes, out.levels[i]);
    unpack_scales(format, record, block, out.scale[i], out.min[i]);
  }
}

/// Tiles 0 to 3 are sums; 4 and 5 hold 16 rows of x over a group of k, 6 and 7 the group's levels.
TileConfig shapes(int64_t group) {
  TileConfig config;
  for (size_t tile : {0, 1, 2, 3}) config.shape(tile, kTileRows, kTileBytes);
  for (size_t tile : {4, 5}) config.shape(tile, kTileRows, group);
  for (size_t tile : {6, 7}) config.shape(tile, group / 4, kTileBytes);
  return config;
}

/// dots [16, 16] = levels of 16 rows of x times those of the panel, over one group.
template <int kSum>
void dot(const int8_t* x, int64_t x_stride, const int8_t* w, int32_t* dots) {
  constexpr int kLeft = 4 + kSum % 2, kRight = 6 + kSum % 2;
  amx::zero<kSum>();
  amx::load<kLeft>(x, x_stride);
  amx::load<kRight>(w, kQuantLoad);
  amx::multiply_int8<kSum, kLeft, kRight>();
  amx::store<kSum>(dots, kTileBytes);
}

/// 16 rows from `row` on times `count` unpacked blocks.
template <int kGroups, bool kMin>
void multiply_blocks(const QuantizedTile& tile, int row, int64_t first, int64_t count,
                     const Unpacked& w) {
  constexpr int kSteps = kQuantSteps / kGroups;
  const RoundedBlock* x = tile.x + row * tile.x_stride + first;
  const int64_t x_stride = tile.x_stride;
  const auto x_bytes = x_stride * static_cast<int64_t>(sizeof(RoundedBlock));
  float* y = tile.y + row * tile.y_stride;
  bool start = first == 0 && !tile.accumulate;
  __m512 sum[kTileRows];
  for (int r = 0; r < kTileRows; ++r) {
    sum[r] = start ? _mm512_setzero_ps() : _mm512_loadu_ps(y + r * tile.y_stride);
  }
  alignas(64) int32_t dots[kTogether][kTileRows][kQuantPanel];
  const auto dot_group = [&](auto place, int64_t step) {
    int64_t block = step / kGroups, group = step % kGroups;
    dot<place()>(x[block].levels + 4 * kSteps * group, x_bytes, w.levels[block][kSteps * group],
                 dots[place()][0]);
  };
  for (int64_t step = 0; step < count * kGroups; step += kTogether) {
    int64_t together = std::min<int64_t>(kTogether, count * kGroups - step);
    dot_group(std::integral_constant<int, 0>(), step);
    if (together > 1) dot_group(std::integral_constant<int, 1>(), step + 1);
    if (together > 2) dot_group(std::integral_constant<int, 2>(), step + 2);
    if (together > 3) dot_group(std::integral_constant<int, 3>(), step + 3);
    for (int64_t i = 0; i < together; ++i) {
      int64_t block = (step + i) / kGroups, group = (step + i) % kGroups;
      const __m512 scale = _mm512_load_ps(w.scale[block][group]);
      const __m512 min = kMin ? _mm512_load_ps(w.min[block][group]) : _mm512_setzero_ps();
      for (int r = 0; r < kTileRows; ++r) {
        const RoundedBlock& rounded = x[r * x_stride + block];
        __m512 dots_r = _mm512_cvtepi32_ps(_mm512_load_si512(dots[i][r]));
        sum[r] =
            _mm512_fmadd_ps(_mm512_mul_ps(scale, _mm512_set1_ps(rounded.scale)), dots_r, sum[r]);
        if (kMin) sum[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(rounded.sum[group]), sum[r]);
      }
    }
  }
  for (int r = 0; r < kTileRows; ++r) _mm512_storeu_ps(y + r * tile.y_stride, sum[r]);
}

/// Any number of rows: sixteen at a time in tiles, the rest with VNNI.
void tile_rows(DType type, const QuantizedTile& tile) {
  static constexpr void (*kByFormat[2][2])(const QuantizedTile&, int, int64_t, int64_t,
                                           const Unpacked&) = {
      {multiply_blocks<1, false>, multiply_blocks<1, true>},
      {multiply_blocks<2, false>, multiply_blocks<2, true>}};
  const BlockFormat& format = block_format(type);
  const int whole = tile.rows / kTileRows * kTileRows;
  if (whole > 0) {
    auto multiply = kByFormat[format.group_size() == kQuantBlock ? 0 : 1][format.has_min ? 1 : 0];
    Unpacked w;
    amx::configure(shapes(format.group_size()));
    for (int64_t first = 0; first < tile.blocks; first += kChunk) {
      int64_t count = std::min<int64_t>(kChunk, tile.blocks - first);
      unpack(format, tile, first, count, w);
      for (int row = 0; row < whole; row += kTileRows) multiply(tile, row, first, count, w);
    }
    amx::release();
  }
  for (int row = whole; row < tile.rows; row += kMaxQuantRows) {
    QuantizedTile rest = tile;
    rest.x += row * tile.x_stride;
    rest.y += row * tile.y_stride;
    rest.rows = std::min(kMaxQuantRows, tile.rows - row);
    kVnniQuantizedKernels.tile(type, rest);
  }
}

void round_row(const BlockFormat& format, const float* x, int64_t k, RoundedBlock* out) {
  kVnniQuantizedKernels.round_row(format, x, k, out);
}

// A panel is unpacked once for so many rows, whose blocks stay in the second-level cache.
constexpr int kMaxRows = 256;

}  // namespace

const QuantizedKernels kAmxQuantizedKernels{tile_rows, round_row, kMaxRows};

}  // namespace millrace

HWY_POP_ATTRIBUTES
#endif
