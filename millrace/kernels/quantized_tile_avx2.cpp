// The inner loops of quantised products for AVX2. Its 8-bit products come in pairs that saturate at
// 16 bits: codes are summed no further than fits, and codes of 8 bits are multiplied as two halves
// of 4 bits, a block of which fits. (Magnitudes times signed levels would take as many products,
// and processors make signs where they multiply.)
#include "millrace/kernels/quantized_tile.h"
#include "millrace/kernels/x86_intrinsics.h"

#if defined(__x86_64__)
#include <cstring>

HWY_PUSH_ATTRIBUTES("avx2,fma,f16c")

namespace millrace {
namespace {

constexpr int kLanes = 8;  // outputs in a register: a panel is done in halves

/// Codes of 32 values of k × 8 outputs, unsigned, a step of four values in each register; of codes
/// of 8 bits the lower and the upper half.
struct Codes {
  __m256i step[kQuantSteps], upper[kQuantSteps];
};

/// Scales and mins of the groups of one block, an output in each lane.
struct Scales {
  __m256 scale[2], min[2];
};

/// Types whose codes, or the levels they stand for, have 8 bits.
constexpr bool is_wide(const BlockFormat& format) {
  return format.levels || format.code_bits() == 8;
}

/// Bits [kBits · kField, + kBits) of every byte become bits [kAbove, kAbove + kBits) of the codes
/// of step kField · kBits + v; so for the fields from kField on.
template <int kBits, int kAbove, int kField = 0>
HWY_INLINE void unpack_fields(__m256i bytes, int v, Codes& codes) {
  constexpr int kDown = kBits * kField - kAbove;
  __m256i part = bytes;
  if constexpr (kDown > 0) part = _mm256_srli_epi16(bytes, kDown);
  if constexpr (kDown < 0) part = _mm256_slli_epi16(bytes, -kDown);
  if constexpr (kBits < 8) {
    const auto mask = static_cast<char>(((1 << kBits) - 1) << kAbove);
    part = _mm256_and_si256(part, _mm256_set1_epi8(mask));
  }
  __m256i& step = codes.step[kField * kBits + v];
  step = kAbove == 0 ? part : _mm256_or_si256(step, part);
  if constexpr (kBits * (kField + 1) < 8) unpack_fields<kBits, kAbove, kField + 1>(bytes, v, codes);
}

/// Adds the plane of bits [kAbove, kAbove + kBits) to the codes.
template <int kBits, int kAbove>
HWY_INLINE void unpack_plane(const std::byte* from, Codes& codes) {
  for (int v = 0; v < kBits; ++v) {
    auto bytes = reinterpret_cast<const __m256i*>(from + v * kQuantLoad);
    unpack_fields<kBits, kAbove>(_mm256_load_si256(bytes), v, codes);
  }
}

HWY_INLINE __m256i low_halves(__m256i bytes) {
  return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}

HWY_INLINE __m256i upper_halves(__m256i bytes) {
  return low_halves(_mm256_srli_epi16(bytes, 4));
}

/// `from` points to the half of the panel that is wanted.
template <DType kType>
HWY_INLINE Codes unpack_codes(const std::byte* from) {
  constexpr BlockFormat kFormat = block_format(kType);
  Codes codes;
  unpack_plane<kFormat.low_bits, 0>(from, codes);
  if constexpr (kFormat.high_bits > 0) {
    unpack_plane<kFormat.high_bits, kFormat.low_bits>(from + kFormat.low_bits * kQuantLoad, codes);
  }
  if constexpr (kFormat.levels != nullptr) {
    static constexpr std::array<uint8_t, 16> kLevels = unsigned_levels(*kFormat.levels);
    const __m128i levels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kLevels.data()));
    const __m256i table = _mm256_broadcastsi128_si256(levels);
    const __m256i low = low_halves(table), upper = upper_halves(table);
    for (int s = 0; s < kQuantSteps; ++s) {
      codes.upper[s] = _mm256_shuffle_epi8(upper, codes.step[s]);
      codes.step[s] = _mm256_shuffle_epi8(low, codes.step[s]);
    }
  } else if constexpr (is_wide(kFormat)) {
    for (int s = 0; s < kQuantSteps; ++s) {
      codes.upper[s] = upper_halves(codes.step[s]);
      codes.step[s] = low_halves(codes.step[s]);
    }
  }
  return codes;
}

/// Factors in f16 or, where they are powers of two, in bf16.
template <DType kType>
HWY_INLINE __m256 load_factors(const std::byte* from) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  if constexpr (block_format(kType).power_of_two) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  return _mm256_cvtph_ps(halves);
}

HWY_INLINE __m256 signed_bytes(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

/// Scales of block `i` of a record, for outputs from `first` on.
template <DType kType>
HWY_INLINE Scales load_scales(const std::byte* record, int i, int first) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr PanelLayout kLayout = panel_layout(kFormat);
  record += i / kLayout.span * kLayout.scale_bytes;
  __m256 d = load_factors<kType>(record + 2 * first), m = {};
  record += 2 * kQuantPanel;
  if constexpr (kFormat.has_min) {
    m = load_factors<kType>(record + 2 * first);
    record += 2 * kQuantPanel;
  }
  if constexpr (!kFormat.has_scales) return {{d, d}, {m, m}};
  Scales scales{};
  record += i % kLayout.span * kLayout.groups * kLayout.group_bytes + first;
  for (int g = 0; g < kLayout.groups; ++g, record += kLayout.group_bytes) {
    __m128i scale = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(record));
    __m128i min = scale;
    if constexpr (kLayout.packed_mins) {
      min = _mm_and_si128(_mm_srli_epi16(scale, 4), _mm_set1_epi8(15));
      scale = _mm_and_si128(scale, _mm_set1_epi8(15));
    } else if constexpr (kFormat.has_min) {
      min = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(record + kQuantPanel));
    }
    scales.scale[g] = _mm256_mul_ps(d, signed_bytes(scale));
    // -(m * min) = -m * min: signs do not round.
    if constexpr (kFormat.has_min) {
      scales.min[g] = _mm256_mul_ps(_mm256_sub_ps(_mm256_setzero_ps(), m), signed_bytes(min));
    }
  }
  return scales;
}

/// Four levels of x in every lane.
HWY_INLINE __m256i four_levels(const int8_t* levels) {
  int32_t four;
  std::memcpy(&four, levels, 4);
  return _mm256_set1_epi32(four);
}

/// Sums of 16 bits of every row, of the lower and the upper halves of codes of 8 bits.
template <int kRows>
struct Pairs {
  __m256i whole[kRows], upper[kRows];
};

/// Has a value in a register here, so that compilers neither read it anew for each use nor make one
/// tree of the sums of all steps, which needs more registers than there are.
HWY_INLINE void keep(__m256i& value) {
  asm("" : "+x"(value));
}

/// sum = codes · levels or, unless it `begins`, += .
HWY_INLINE void add_products(__m256i codes, __m256i levels, bool begins, __m256i& sum) {
  const __m256i products = _mm256_maddubs_epi16(codes, levels);
  sum = begins ? products : _mm256_add_epi16(sum, products);
  keep(sum);
}

/// Adds the products of kSteps steps from `step` on. Rows take turns at each step, so that few
/// codes are in registers at a time.
template <bool kWide, int kSteps, bool kBegins, int kRows>
HWY_INLINE void add_steps(const Codes& codes, int step, const RoundedBlock* x, int64_t x_stride,
                          Pairs<kRows>& pairs) {
  __m256i whole = codes.step[step], upper = whole;
  if constexpr (kWide) {
    upper = codes.upper[step];
    keep(whole);
    keep(upper);
  }
  for (int r = 0; r < kRows; ++r) {
    const __m256i four = four_levels(x[r * x_stride].levels + 4 * step);
    add_products(whole, four, kBegins, pairs.whole[r]);
    if constexpr (kWide) add_products(upper, four, kBegins, pairs.upper[r]);
  }
  if constexpr (kSteps > 1) {
    add_steps<kWide, kSteps - 1, false>(codes, step + 1, x, x_stride, pairs);
  }
}

/// Σ codes · levels over kSteps steps from `first` on, in each lane, for rows x_stride blocks
/// apart.
template <DType kType, int kSteps, int kRows>
HWY_INLINE void dot_products(const Codes& codes, int first, const RoundedBlock* x, int64_t x_stride,
                             __m256i (&dot)[kRows]) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr bool kWide = is_wide(kFormat);
  constexpr int kFit = 32767 / ((kWide ? 15 : kFormat.max_code()) * 127 * 2);  // steps in 16 bits
  constexpr int kRun = kFit < kSteps ? kFit : kSteps;
  static_assert(kFit >= 1 && kSteps % kRun == 0);
  const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
  for (int begin = first; begin < first + kSteps; begin += kRun) {
    Pairs<kRows> pairs;
    add_steps<kWide, kRun, true>(codes, begin, x, x_stride, pairs);
    for (int r = 0; r < kRows; ++r) {
      const __m256i sum = _mm256_madd_epi16(pairs.whole[r], ones);
      dot[r] = begin == first ? sum : _mm256_add_epi32(dot[r], sum);
      if constexpr (kWide) {
        dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(pairs.upper[r], sixteens));
      }
    }
  }
}

template <DType kType, int kRows>
HWY_INLINE void add_block(const Codes& codes, const Scales& scales, const RoundedBlock* x,
                          int64_t x_stride, __m256* sum) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr int kGroups = panel_layout(kFormat).groups;
  constexpr int kSteps = kQuantSteps / kGroups;
  for (int g = 0; g < kGroups; ++g) {
    __m256i dot[kRows];
    dot_products<kType, kSteps>(codes, g * kSteps, x, x_stride, dot);
    for (int r = 0; r < kRows; ++r) {
      const RoundedBlock& block = x[r * x_stride];
      if constexpr (!kFormat.has_min) {
        dot[r] = _mm256_add_epi32(dot[r], _mm256_set1_epi32(block.bias[g]));
      }
      const __m256 scale = _mm256_mul_ps(scales.scale[g], _mm256_set1_ps(block.scale));
      sum[r] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot[r]), sum[r]);
      if constexpr (kFormat.has_min) {
        sum[r] = _mm256_fmadd_ps(scales.min[g], _mm256_set1_ps(block.sum[g]), sum[r]);
      }
    }
  }
}

/// kRows rows times kHalves halves of the panel, from output `first` on.
template <DType kType, int kRows, int kHalves>
void multiply(const QuantizedTile& tile, int row, int first) {
  constexpr PanelLayout kLayout = panel_layout(block_format(kType));
  constexpr int kTurn = kRows < 4 ? kRows : 4;  // rows whose sums registers hold
  const std::byte* record = tile.panel;
  const RoundedBlock* x = tile.x + row * tile.x_stride;
  float* y = tile.y + row * tile.y_stride + first;
  __m256 sum[kHalves][kRows];
  for (int h = 0; h < kHalves; ++h) {
    for (int r = 0; r < kRows; ++r) {
      sum[h][r] = tile.accumulate ? _mm256_loadu_ps(y + r * tile.y_stride + h * kLanes)
                                  : _mm256_setzero_ps();
    }
  }
  for (int64_t b = 0; b < tile.blocks; b += kLayout.blocks, record += kLayout.record_bytes()) {
    prefetch(record, kLayout.codes_at());
    const std::byte* codes_at = record + kLayout.codes_at() + 4 * first;
    for (int i = 0; i < kLayout.blocks && b + i < tile.blocks; ++i, ++x) {
      prefetch(codes_at, kLayout.code_bytes);
      for (int h = 0; h < kHalves; ++h) {
        Codes codes = unpack_codes<kType>(codes_at + h * 4 * kLanes);
        Scales scales = load_scales<kType>(record, i, first + h * kLanes);
        for (int r = 0; r < kRows; r += kTurn) {
          add_block<kType, kTurn>(codes, scales, x + r * tile.x_stride, tile.x_stride, sum[h] + r);
        }
      }
      codes_at += kLayout.code_bytes;
    }
  }
  for (int h = 0; h < kHalves; ++h) {
    for (int r = 0; r < kRows; ++r) _mm256_storeu_ps(y + r * tile.y_stride + h * kLanes, sum[h][r]);
  }
}

/// Few rows take both halves of the panel at once: reading it from memory is what takes their time,
/// and half a cache line at a time leaves the memory idle while the second halves are multiplied.
template <DType kType>
void multiply_rows(const QuantizedTile& tile) {
  int row = 0;
  if (tile.rows >= 4) {
    for (int first = 0; first < kQuantPanel; first += kLanes) {
      for (row = 0; row + 16 <= tile.rows; row += 16) multiply<kType, 16, 1>(tile, row, first);
      for (; row + 4 <= tile.rows; row += 4) multiply<kType, 4, 1>(tile, row, first);
    }
  }
  for (; row + 2 <= tile.rows; row += 2) multiply<kType, 2, 2>(tile, row, 0);
  for (; row < tile.rows; ++row) multiply<kType, 1, 2>(tile, row, 0);
}

void tile(DType type, const QuantizedTile& tile) {
  static constexpr void (*kByType[])(const QuantizedTile&) = {
      multiply_rows<DType::q4_0>, multiply_rows<DType::q4_1>,   multiply_rows<DType::q5_0>,
      multiply_rows<DType::q5_1>, multiply_rows<DType::q8_0>,   multiply_rows<DType::q2_k>,
      multiply_rows<DType::q3_k>, multiply_rows<DType::q4_k>,   multiply_rows<DType::q5_k>,
      multiply_rows<DType::q6_k>, multiply_rows<DType::iq4_nl>, multiply_rows<DType::iq4_xs>,
      multiply_rows<DType::mxfp4>};
  kByType[block_type_index(type)](tile);
}

void round_row(const BlockFormat& format, const float* x, int64_t k, RoundedBlock* out) {
  round_blocks(format, x, k, out);
}

}  // namespace

const QuantizedKernels kAvx2QuantizedKernels{tile, round_row};

}  // namespace millrace

HWY_POP_ATTRIBUTES
#endif
