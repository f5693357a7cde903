#include "millrace/kernels/peak_rate.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/amx_tiles.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/vector.h"
#include "millrace/kernels/x86_intrinsics.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/peak_rate.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Twelve chains of multiply-adds, enough to hide their latency; gives the operations done.
int64_t multiply_add_f32(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, sink[0]);
  // Different starts, or a compiler makes one chain of equal ones.
  const auto next = [&](float& value) { return hn::Set(d, value += sink[0]); };
  float start = 0;
  auto a0 = next(start), a1 = next(start), a2 = next(start), a3 = next(start);
  auto a4 = next(start), a5 = next(start), b0 = next(start), b1 = next(start);
  auto b2 = next(start), b3 = next(start), b4 = next(start), b5 = next(start);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, factor, factor);
    a1 = hn::MulAdd(a1, factor, factor);
    a2 = hn::MulAdd(a2, factor, factor);
    a3 = hn::MulAdd(a3, factor, factor);
    a4 = hn::MulAdd(a4, factor, factor);
    a5 = hn::MulAdd(a5, factor, factor);
    b0 = hn::MulAdd(b0, factor, factor);
    b1 = hn::MulAdd(b1, factor, factor);
    b2 = hn::MulAdd(b2, factor, factor);
    b3 = hn::MulAdd(b3, factor, factor);
    b4 = hn::MulAdd(b4, factor, factor);
    b5 = hn::MulAdd(b5, factor, factor);
  }
  const auto a = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto b = hn::Add(hn::Add(hn::Add(b0, b1), hn::Add(b2, b3)), hn::Add(b4, b5));
  sink[1] = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  return rounds * 12 * 2 * static_cast<int64_t>(hn::Lanes(d));
}

/// Reads `count` values, four vectors of them at a time, and gives something that depends on each.
int64_t read_all(const int64_t* from, int64_t count) {
  const hn::ScalableTag<int64_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (int64_t i = 0; i + 4 * lanes <= count; i += 4 * lanes) {
    a = hn::Or(a, hn::LoadU(d, from + i));
    b = hn::Or(b, hn::LoadU(d, from + i + lanes));
    c = hn::Or(c, hn::LoadU(d, from + i + 2 * lanes));
    e = hn::Or(e, hn::LoadU(d, from + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Or(hn::Or(a, b), hn::Or(c, e))));
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#if defined(__x86_64__)
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,prfchw")
namespace millrace {
namespace {

/// The same with dot products of pairs: 16 lanes of two multiplications and two additions.
int64_t multiply_add_bf16(int64_t rounds, float* sink) {
  const __m512bh factor = _mm512_cvtne2ps_pbh(_mm512_set1_ps(sink[0]), _mm512_set1_ps(sink[0]));
  constexpr int kChains = 12;
  __m512 sums[kChains];
  float start = 0;
  for (__m512& sum : sums) sum = _mm512_set1_ps(start += sink[0]);
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, factor, factor);
  }
  __m512 total = sums[0];
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  sink[1] = _mm512_reduce_add_ps(total);
  return rounds * kChains * 16 * 4;
}

}  // namespace
}  // namespace millrace
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
namespace millrace {
namespace {

/// The same with dot products of four bytes: 16 lanes of four.
int64_t multiply_add_int8(int64_t rounds, float* sink) {
  const __m512i factor = _mm512_set1_epi8(static_cast<char>(sink[0] * 2000));
  constexpr int kChains = 12;
  __m512i sums[kChains];
  int start = 0;
  for (__m512i& sum : sums) sum = _mm512_set1_epi32(++start);
  for (int64_t i = 0; i < rounds; ++i) {
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, factor, factor);
  }
  __m512i total = sums[0];
  for (int i = 1; i < kChains; ++i) total = _mm512_add_epi32(total, sums[i]);
  sink[1] = static_cast<float>(_mm512_reduce_add_epi32(total));
  return rounds * kChains * 16 * 8;
}

}  // namespace
}  // namespace millrace
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("amx-tile,amx-int8,amx-bf16")
namespace millrace {
namespace {

template <bool kInt8, int kSum, int kLeft, int kRight>
HWY_INLINE void multiply_tiles() {
  if constexpr (kInt8) {
    amx::multiply_int8<kSum, kLeft, kRight>();
  } else {
    amx::multiply_bf16<kSum, kLeft, kRight>();
  }
}

/// The same with tiles of zeros, whose products take as long as any others: four chains.
template <bool kInt8>
int64_t multiply_add_tiles(int64_t rounds, float* /*sink*/) {
  rounds /= 16;  // a tile's product takes so much longer than a register's
  TileConfig config;
  for (size_t tile = 0; tile < 8; ++tile) config.shape(tile, kTileRows, kTileBytes);
  amx::configure(config);
  for (int64_t i = 0; i < rounds; ++i) {
    multiply_tiles<kInt8, 0, 4, 6>();
    multiply_tiles<kInt8, 1, 4, 7>();
    multiply_tiles<kInt8, 2, 5, 6>();
    multiply_tiles<kInt8, 3, 5, 7>();
  }
  amx::release();
  return rounds * 4 * 2 * 16 * 16 * (kInt8 ? 64 : 32);
}

}  // namespace
}  // namespace millrace
HWY_POP_ATTRIBUTES
#endif

namespace millrace {
namespace {

HWY_EXPORT(multiply_add_f32);
HWY_EXPORT(read_all);

using MultiplyAdd = int64_t (*)(int64_t rounds, float* sink);

MultiplyAdd fastest(Arithmetic arithmetic) {
#if defined(__x86_64__)
  if (arithmetic == Arithmetic::bf16 && isa() >= Isa::amx) return multiply_add_tiles<false>;
  if (arithmetic == Arithmetic::bf16 && isa() >= Isa::avx512_bf16) return multiply_add_bf16;
#endif
  static_cast<void>(arithmetic);
  return MILLRACE_DISPATCH(multiply_add_f32);
}

using Clock = std::chrono::steady_clock;

/// Operations a second on this thread, the best of several tries.
double best_rate(MultiplyAdd run) {
  constexpr int64_t kRounds = 50'000;
  constexpr int kTries = 20;
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    volatile float small = 1e-3f;  // read at run time, so that nothing is computed beforehand
    float sink[2] = {small, 0};
    const Clock::time_point start = Clock::now();
    const auto operations = static_cast<double>(run(kRounds, sink));
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, operations / seconds.count());
  }
  return best;
}

}  // namespace

double peak_rate(Arithmetic arithmetic, int threads) {
  return best_rate(fastest(arithmetic)) * threads;
}

double int8_peak_rate(int threads) {
#if defined(__x86_64__)
  if (isa() >= Isa::amx) return best_rate(multiply_add_tiles<true>) * threads;
  if (isa() >= Isa::avx512_bf16) return best_rate(multiply_add_int8) * threads;
#endif
  static_cast<void>(threads);
  return 0;
}

double read_bandwidth() {
  constexpr int64_t kBytes = int64_t{256} << 20, kPart = int64_t{1} << 20;
  constexpr int kTries = 6;
  const auto memory = Storage::allocate(kBytes);
  const auto read = MILLRACE_DISPATCH(read_all);
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const Clock::time_point start = Clock::now();
    parallel_ranges(kBytes, kPart, [&](int64_t begin, int64_t end) {
      volatile int64_t kept = read(reinterpret_cast<const int64_t*>(memory->data() + begin),
                                   (end - begin) / int64_t{sizeof(int64_t)});
      static_cast<void>(kept);
    });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, static_cast<double>(kBytes) / seconds.count());
  }
  return best;
}

}  // namespace millrace
#endif  // HWY_ONCE
