// Dense products at the shapes of three models: GFLOP/s a core, and per cent of what the core's
// multiply-add instructions can do in a loop without memory. All rates are per second of CPU time.
//   MILLRACE_THREADS=1 build/bench/bench_matmul --benchmark_filter=gpt2
#include "millrace/kernels/matmul.h"

#include <benchmark/benchmark.h>

#include <string>

#include "millrace/base/random.h"
#include "millrace/kernels/peak_rate.h"

namespace millrace {
namespace {

/// Of one core at the level in use.
double peak(Arithmetic arithmetic) {
  static const double rates[] = {peak_rate(Arithmetic::f32, 1), peak_rate(Arithmetic::bf16, 1)};
  return 1e-9 * rates[static_cast<int>(arithmetic)];
}

Tensor random_matrix(int64_t rows, int64_t cols) {
  Tensor t(DType::f32, {rows, cols});
  Random random(1);
  for (float& x : t.f32()) x = static_cast<float>(random.uniform()) - 0.5f;
  return t;
}

/// A product y [m, n] = x [m, k] · wᵀ of training: the forward one, or the one that finds the
/// gradient of a weight, in which k is the tokens and both operands are transposed views.
struct Case {
  const char* name;
  int64_t m, n, k;
  bool transposed = false;
};

MatrixView operand(const Tensor& t, bool transposed) {
  return transposed ? view(t).transposed() : view(t);
}

void multiply(benchmark::State& state, Case p, Arithmetic arithmetic, bool packing) {
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
  state.counters["%peak"] = Counter(100 * flops / peak(arithmetic), Counter::kIsRate);
}

const Case kCases[] = {
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
  for (const Case& p : kCases) {
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
