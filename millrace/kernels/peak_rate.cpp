#include "millrace/kernels/peak_rate.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "millrace/kernels/amx_tiles.h"
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

HWY_PUSH_ATTRIBUTES("amx-tile,amx-int8,amx-bf16")
namespace millrace {
namespace {

/// The same with tiles of zeros, whose products take as long as any others: four chains.
int64_t multiply_add_tiles(int64_t rounds, float* /*sink*/) {
  rounds /= 16;  // a tile's product takes so much longer than a register's
  TileConfig config;
  for (size_t tile = 0; tile < 8; ++tile) config.shape(tile, kTileRows, kTileBytes);
  amx::configure(config);
  for (int64_t i = 0; i < rounds; ++i) {
    amx::multiply_bf16<0, 4, 6>();
    amx::multiply_bf16<1, 4, 7>();
    amx::multiply_bf16<2, 5, 6>();
    amx::multiply_bf16<3, 5, 7>();
  }
  amx::release();
  return rounds * 4 * 2 * 16 * 16 * 32;
}

}  // namespace
}  // namespace millrace
HWY_POP_ATTRIBUTES
#endif

namespace millrace {
namespace {

HWY_EXPORT(multiply_add_f32);

using MultiplyAdd = int64_t (*)(int64_t rounds, float* sink);

MultiplyAdd fastest(Arithmetic arithmetic) {
#if defined(__x86_64__)
  if (arithmetic == Arithmetic::bf16 && isa() >= Isa::amx) return multiply_add_tiles;
  if (arithmetic == Arithmetic::bf16 && isa() >= Isa::avx512_bf16) return multiply_add_bf16;
#endif
  static_cast<void>(arithmetic);
  return MILLRACE_DISPATCH(multiply_add_f32);
}

}  // namespace

double peak_rate(Arithmetic arithmetic, int threads) {
  using Clock = std::chrono::steady_clock;
  const MultiplyAdd run = fastest(arithmetic);
  constexpr int64_t kRounds = 50'000;
  constexpr int kTries = 20;
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    volatile float small = 1e-3f;  // read at run time, so that nothing is computed beforehand
    float sink[2] = {small, 0};
    Clock::time_point start = Clock::now();
    const auto operations = static_cast<double>(run(kRounds, sink));
    std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, operations / seconds.count());
  }
  return best * threads;
}

}  // namespace millrace
#endif  // HWY_ONCE
