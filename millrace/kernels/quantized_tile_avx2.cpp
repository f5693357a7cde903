// The inner loops of quantised products for AVX2. Its 8-bit products come in pairs that saturate at
// 16 bits: codes are summed no further than fits, and types of 8 bits multiply magnitudes by signed
// levels.
#include "millrace/kernels/quantized_tile.h"
#include "millrace/kernels/x86_intrinsics.h"

#if defined(__x86_64__)
#include <cstring>

HWY_PUSH_ATTRIBUTES("avx2,fma,f16c")

namespace millrace {
namespace {

constexpr int kLanes = 8;  // outputs in a register: a panel is done in halves

/// Codes of 32 values of k × 8 outputs, a step of four values in each register: unsigned, or signed
/// levels for types of 8 bits.
struct Codes {
  __m256i step[kQuantSteps];
};

/// Scales and mins of the groups of one block, an output in each lane.
struct Scales {
  __m256 scale[2], min[2];
};

/// Types whose codes would overflow 16 bits as unsigned numbers.
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
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(kFormat.levels->data())));
    for (__m256i& step : codes.step) step = _mm256_shuffle_epi8(table, step);
  } else if constexpr (is_wide(kFormat)) {
    const __m256i top = _mm256_set1_epi8(static_cast<char>(0x80));
    for (__m256i& step : codes.step) step = _mm256_xor_si256(step, top);
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

/// Σ codes · levels over kSteps steps, in each lane.
template <DType kType, int kSteps>
HWY_INLINE __m256i dot_product(const __m256i* codes, const int8_t* levels) {
  constexpr BlockFormat kFormat = block_format(kType);
  // Steps whose pairs of products can be summed in 16 bits.
  constexpr int kFit = is_wide(kFormat) ? 1 : 32767 / (kFormat.max_code() * 127 * 2);
  constexpr int kRun = kFit < kSteps ? kFit : kSteps;
  static_assert(kFit >= 1 && kSteps % kRun == 0);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i dot = _mm256_setzero_si256();
  for (int begin = 0; begin < kSteps; begin += kRun) {
    __m256i pairs = _mm256_setzero_si256();
    for (int s = begin; s < begin + kRun; ++s) {
      __m256i four = four_levels(levels + 4 * s);
      __m256i products = is_wide(kFormat) ? _mm256_maddubs_epi16(_mm256_abs_epi8(codes[s]),
                                                                 _mm256_sign_epi8(four, codes[s]))
                                          : _mm256_maddubs_epi16(codes[s], four);
      pairs = s == begin ? products : _mm256_add_epi16(pairs, products);
    }
    dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
  }
  return dot;
}

template <DType kType>
HWY_INLINE __m256 add_block(const Codes& codes, const Scales& scales, const RoundedBlock& x,
                            __m256 sum) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr int kGroups = panel_layout(kFormat).groups;
  constexpr int kSteps = kQuantSteps / kGroups;
  for (int g = 0; g < kGroups; ++g) {
    __m256i dot = dot_product<kType, kSteps>(codes.step + g * kSteps, x.levels + 4 * g * kSteps);
    if constexpr (!is_wide(kFormat) && kFormat.zero != 0) {
      dot = _mm256_add_epi32(dot, _mm256_set1_epi32(x.bias[g]));
    }
    __m256 scale = _mm256_mul_ps(scales.scale[g], _mm256_set1_ps(x.scale));
    sum = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot), sum);
    if constexpr (kFormat.has_min) {
      sum = _mm256_fmadd_ps(scales.min[g], _mm256_set1_ps(x.sum[g]), sum);
    }
  }
  return sum;
}

template <DType kType, int kRows>
void multiply(const QuantizedTile& tile, int row, int first) {
  constexpr PanelLayout kLayout = panel_layout(block_format(kType));
  const std::byte* record = tile.panel;
  const RoundedBlock* x = tile.x + row * tile.x_stride;
  float* y = tile.y + row * tile.y_stride + first;
  __m256 sum[kRows];
  for (int r = 0; r < kRows; ++r) {
    sum[r] = tile.accumulate ? _mm256_loadu_ps(y + r * tile.y_stride) : _mm256_setzero_ps();
  }
  for (int64_t b = 0; b < tile.blocks; b += kLayout.blocks, record += kLayout.record_bytes()) {
    prefetch(record, kLayout.codes_at());
    const std::byte* codes_at = record + kLayout.codes_at() + 4 * first;
    for (int i = 0; i < kLayout.blocks && b + i < tile.blocks; ++i, ++x) {
      prefetch(codes_at, kLayout.code_bytes);
      Codes codes = unpack_codes<kType>(codes_at);
      codes_at += kLayout.code_bytes;
      Scales scales = load_scales<kType>(record, i, first);
      for (int r = 0; r < kRows; ++r) {
        sum[r] = add_block<kType>(codes, scales, x[r * tile.x_stride], sum[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) _mm256_storeu_ps(y + r * tile.y_stride, sum[r]);
}

template <DType kType>
void multiply_rows(const QuantizedTile& tile) {
  for (int first = 0; first < kQuantPanel; first += kLanes) {
    int row = 0;
    for (; row + 4 <= tile.rows; row += 4) multiply<kType, 4>(tile, row, first);
    for (; row < tile.rows; ++row) multiply<kType, 1>(tile, row, first);
  }
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
