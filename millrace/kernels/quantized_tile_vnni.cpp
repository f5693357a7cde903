// The inner loops of quantised products where AVX-512 has 8-bit dot products (VNNI).
#include "millrace/kernels/quantized_tile.h"
#include "millrace/kernels/x86_intrinsics.h"

#if defined(__x86_64__)
#include <cstring>

HWY_PUSH_ATTRIBUTES("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

namespace millrace {
namespace {

/// The codes of 32 values of k × 16 outputs, unsigned, a step of four values in each register.
struct Codes {
  __m512i step[kQuantSteps];
};

/// Scales and mins of the groups of one block, an output in each lane.
struct Scales {
  __m512 scale[2], min[2];
};

/// Bits [kBits · kField, + kBits) of every byte become bits [kAbove, kAbove + kBits) of the codes
/// of step kField · kBits + v; so for the fields from kField on.
template <int kBits, int kAbove, int kField = 0>
HWY_INLINE void unpack_fields(__m512i bytes, int v, Codes& codes) {
  constexpr int kDown = kBits * kField - kAbove;
  __m512i part = bytes;
  if constexpr (kDown > 0) part = _mm512_srli_epi16(bytes, kDown);
  if constexpr (kDown < 0) part = _mm512_slli_epi16(bytes, -kDown);
  if constexpr (kBits < 8) {
    const auto mask = static_cast<char>(((1 << kBits) - 1) << kAbove);
    part = _mm512_and_si512(part, _mm512_set1_epi8(mask));
  }
  __m512i& step = codes.step[kField * kBits + v];
  step = kAbove == 0 ? part : _mm512_or_si512(step, part);
  if constexpr (kBits * (kField + 1) < 8) unpack_fields<kBits, kAbove, kField + 1>(bytes, v, codes);
}

/// Adds the plane of bits [kAbove, kAbove + kBits) to the codes.
template <int kBits, int kAbove>
HWY_INLINE void unpack_plane(const std::byte* from, Codes& codes) {
  for (int v = 0; v < kBits; ++v) {
    unpack_fields<kBits, kAbove>(_mm512_load_si512(from + v * kQuantLoad), v, codes);
  }
}

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
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kLevels.data())));
    for (__m512i& step : codes.step) step = _mm512_shuffle_epi8(table, step);
  }
  return codes;
}

/// Factors in f16 or, where they are powers of two, in bf16.
template <DType kType>
HWY_INLINE __m512 load_factors(const std::byte* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  if constexpr (block_format(kType).power_of_two) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  return _mm512_cvtph_ps(halves);
}

HWY_INLINE __m512 signed_bytes(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/// Scales of block `i` of a record.
template <DType kType>
HWY_INLINE Scales load_scales(const std::byte* record, int i) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr PanelLayout kLayout = panel_layout(kFormat);
  record += i / kLayout.span * kLayout.scale_bytes;
  __m512 d = load_factors<kType>(record), m = {};
  record += 2 * kQuantPanel;
  if constexpr (kFormat.has_min) {
    m = load_factors<kType>(record);
    record += 2 * kQuantPanel;
  }
  if constexpr (!kFormat.has_scales) return {{d, d}, {m, m}};
  Scales scales{};
  record += i % kLayout.span * kLayout.groups * kLayout.group_bytes;
  for (int g = 0; g < kLayout.groups; ++g, record += kLayout.group_bytes) {
    __m128i scale = _mm_loadu_si128(reinterpret_cast<const __m128i*>(record));
    __m128i min = scale;
    if constexpr (kLayout.packed_mins) {
      min = _mm_and_si128(_mm_srli_epi16(scale, 4), _mm_set1_epi8(15));
      scale = _mm_and_si128(scale, _mm_set1_epi8(15));
    } else if constexpr (kFormat.has_min) {
      min = _mm_loadu_si128(reinterpret_cast<const __m128i*>(record + kQuantPanel));
    }
    scales.scale[g] = _mm512_mul_ps(d, signed_bytes(scale));
    // -(m * min) = m * -min: signs do not round.
    if constexpr (kFormat.has_min) {
      scales.min[g] = _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), m), signed_bytes(min));
    }
  }
  return scales;
}

/// Four levels of x in every lane.
HWY_INLINE __m512i four_levels(const int8_t* levels) {
  int32_t four;
  std::memcpy(&four, levels, 4);
  return _mm512_set1_epi32(four);
}

template <DType kType>
HWY_INLINE __m512 add_block(const Codes& codes, const Scales& scales, const RoundedBlock& x,
                            __m512 sum) {
  constexpr BlockFormat kFormat = block_format(kType);
  constexpr int kGroups = panel_layout(kFormat).groups;
  constexpr int kSteps = kQuantSteps / kGroups;
  for (int g = 0; g < kGroups; ++g) {
    __m512i dot = kFormat.has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(x.bias[g]);
    for (int s = g * kSteps; s < (g + 1) * kSteps; ++s) {
      dot = _mm512_dpbusd_epi32(dot, codes.step[s], four_levels(x.levels + 4 * s));
    }
    __m512 scale = _mm512_mul_ps(scales.scale[g], _mm512_set1_ps(x.scale));
    sum = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), sum);
    if constexpr (kFormat.has_min) {
      sum = _mm512_fmadd_ps(scales.min[g], _mm512_set1_ps(x.sum[g]), sum);
    }
  }
  return sum;
}

template <DType kType, int kRows>
void multiply(const QuantizedTile& tile, int row) {
  constexpr PanelLayout kLayout = panel_layout(block_format(kType));
  const std::byte* record = tile.panel;
  const RoundedBlock* x = tile.x + row * tile.x_stride;
  float* y = tile.y + row * tile.y_stride;
  __m512 sum[kRows];
  for (int r = 0; r < kRows; ++r) {
    sum[r] = tile.accumulate ? _mm512_loadu_ps(y + r * tile.y_stride) : _mm512_setzero_ps();
  }
  for (int64_t b = 0; b < tile.blocks; b += kLayout.blocks, record += kLayout.record_bytes()) {
    prefetch(record, kLayout.codes_at());
    const std::byte* codes_at = record + kLayout.codes_at();
    for (int i = 0; i < kLayout.blocks && b + i < tile.blocks; ++i, ++x) {
      prefetch(codes_at, kLayout.code_bytes);
      Codes codes = unpack_codes<kType>(codes_at);
      codes_at += kLayout.code_bytes;
      Scales scales = load_scales<kType>(record, i);
      for (int r = 0; r < kRows; ++r) {
        sum[r] = add_block<kType>(codes, scales, x[r * tile.x_stride], sum[r]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) _mm512_storeu_ps(y + r * tile.y_stride, sum[r]);
}

template <DType kType>
void multiply_rows(const QuantizedTile& tile) {
  int row = 0;
  for (; row + 16 <= tile.rows; row += 16) multiply<kType, 16>(tile, row);
  for (; row + 8 <= tile.rows; row += 8) multiply<kType, 8>(tile, row);
  if (row + 4 <= tile.rows) {
    multiply<kType, 4>(tile, row);
    row += 4;
  }
  if (row + 2 <= tile.rows) {
    multiply<kType, 2>(tile, row);
    row += 2;
  }
  if (row < tile.rows) multiply<kType, 1>(tile, row);
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

const QuantizedKernels kVnniQuantizedKernels{tile, round_row};

}  // namespace millrace

HWY_POP_ATTRIBUTES
#endif
