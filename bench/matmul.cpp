// Dense products at the shapes of three models: GFLOP/s a core, and per cent of what the core's
// multiply-add instructions can do in a loop without memory. All rates are per second of CPU time.
//   MILLRACE_THREADS=1 build/bench/bench_matmul --benchmark_filter=gpt2
#include "millrace/kernels/matmul.h"

#include <benchmark/benchmark.h>

#include <ctime>
#include <string>

#include "millrace/base/random.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/peak_rate.h"

namespace millrace {
namespace {

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Twelve chains of one instruction, more than its latency asks for.
#define CHAIN(op, reg, n) op " %%" reg "14, %%" reg "15, %%" reg #n "\n"
#define CHAINS(op, reg)                                                                     \
  CHAIN(op, reg, 0)                                                                         \
  CHAIN(op, reg, 1)                                                                         \
  CHAIN(op, reg, 2)                                                                         \
  CHAIN(op, reg, 3) CHAIN(op, reg, 4) CHAIN(op, reg, 5) CHAIN(op, reg, 6) CHAIN(op, reg, 7) \
      CHAIN(op, reg, 8) CHAIN(op, reg, 9) CHAIN(op, reg, 10) CHAIN(op, reg, 11)
#define RUN(op, reg)                                                                         \
  asm volatile(CHAINS(op, reg)::                                                             \
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                     "xmm9", "xmm10", "xmm11")

/// GFLOP/s of one core at the level in use; 0 where nothing is known of the processor.
double measure_peak(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::bf16 && isa() >= Isa::amx) return 1e-9 * peak_rate(arithmetic, 1);
  constexpr int64_t kRounds = 10'000'000;
  bool pairs = arithmetic == Arithmetic::bf16 && isa() == Isa::avx512_bf16;
  int64_t lanes = isa() >= Isa::avx512 ? 16 : 8;
  double begin = cpu_seconds();
#if defined(__x86_64__)
  if (isa() == Isa::scalar) return 0;
  for (int64_t i = 0; i < kRounds; ++i) {
    if (pairs) {
      RUN("vdpbf16ps", "zmm");
    } else if (lanes == 16) {
      RUN("vfmadd231ps", "zmm");
    } else {
      RUN("vfmadd231ps", "ymm");
    }
  }
#else
  return 0;
#endif
  auto flops = static_cast<double>(kRounds * 12 * lanes * (pairs ? 4 : 2));
  return 1e-9 * flops / (cpu_seconds() - begin);
}

double peak(Arithmetic arithmetic) {
  static const double rates[] = {measure_peak(Arithmetic::f32), measure_peak(Arithmetic::bf16)};
  return rates[static_cast<int>(arithmetic)];
}

Tensor random_matrix(int64_t rows, int64_t cols) {
  Tensor t(DType::f32, {rows, cols});
  Random random(1);
  for (float& x : t.f32()) x = static_cast<float>(random.uniform()) - 0.5f;
  return t;
}

/// A product y [m, n] = x [m, k] · wᵀ of training: the forward one, or the one that finds the
/// gradient of a weight, in which k is the tokens and both operands are transposed views.
struct Product {
  const char* name;
  int64_t m, n, k;
  bool transposed = false;
};

MatrixView operand(const Tensor& t, bool transposed) {
  return transposed ? view(t).transposed() : view(t);
}

void multiply(benchmark::State& state, Product p, Arithmetic arithmetic, bool packing) {
  Tensor x = p.transposed ? random_matrix(p.k, p.m) : random_matrix(p.m, p.k);
  Tensor w = p.transposed ? random_matrix(p.k, p.n) : random_matrix(p.n, p.k);
  Tensor y(DType::f32, {p.m, p.n});
  PackedMatrix packed;
  pack(operand(w, p.transposed), arithmetic, packed);
  for (auto _ : state) {
    if (packing) pack(operand(w, p.transposed), arithmetic, packed);
    matmul(operand(x, p.transposed), packed, y.f32().data(), p.n);
  }
  double flops = 2e-9 * static_cast<double>(p.m * p.n * p.k * state.iterations());
  using Counter = benchmark::Counter;
  state.counters["GFLOP/s"] = Counter(flops, Counter::kIsRate);
  state.counters["GB/s"] = Counter(
      1e-9 * static_cast<double>(packed.bytes->size()) * static_cast<double>(state.iterations()),
      Counter::kIsRate);
  if (peak(arithmetic) > 0) {
    state.counters["%peak"] = Counter(100 * flops / peak(arithmetic), Counter::kIsRate);
  }
}

const Product kProducts[] = {
    {"demo/attention", 4096, 256, 256},
    {"demo/mlp", 4096, 688, 256},
    {"demo/mlp_down", 4096, 256, 688},
    {"demo/head", 4096, 6000, 256},
    {"demo/mlp_gradient", 688, 256, 4096, true},
    {"demo/head_gradient", 6000, 256, 4096, true},
    {"gpt2/attention", 512, 768, 768},
    {"gpt2/mlp", 512, 3072, 768},
    {"gpt2/mlp_down", 512, 768, 3072},
    {"gpt2/head", 256, 50257, 768},
    {"gpt2/mlp_gradient", 3072, 768, 1024, true},
    {"gpt2/decode", 1, 3072, 768},
    {"1b/attention", 512, 2048, 2048},
    {"1b/mlp", 512, 5632, 2048},
    {"1b/rows16", 16, 5632, 2048},
    {"1b/decode", 1, 5632, 2048},
};

const bool kRegistered = [] {
  for (const Product& p : kProducts) {
    for (Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
      for (bool packing : {false, true}) {
        if (packing && p.m < 64) continue;
        std::string name =
            fmt::format("{}/{}x{}x{}/{}{}", p.name, p.m, p.n, p.k,
                        arithmetic == Arithmetic::f32 ? "f32" : "bf16", packing ? "/and_pack" : "");
        benchmark::RegisterBenchmark(name.c_str(), multiply, p, arithmetic, packing)
            ->MeasureProcessCPUTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace millrace
