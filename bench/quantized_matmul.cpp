// Products with quantised weights: GB/s of weights read and per cent of the memory's bandwidth
// (decode, m = 1), GFLOP/s and per cent of the 8-bit dot products' peak (prefill), on all threads.
//   build/bench/bench_quantized_matmul --benchmark_filter=q4_k
#include <benchmark/benchmark.h>

#include <string>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/kernels/matmul.h"
#include "millrace/kernels/peak_rate.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

Tensor random_matrix(int64_t rows, int64_t cols) {
  Tensor t(DType::f32, {rows, cols});
  Random random(1);
  for (float& x : t.f32()) x = static_cast<float>(random.uniform()) - 0.5f;
  return t;
}

/// Enough copies of the weight that decoding reads memory, as a model of many layers does.
void multiply(benchmark::State& state, DType type, int64_t m, int64_t n, int64_t k) {
  Tensor w = quantized(random_matrix(n, k), type);
  size_t copies = m > 1 ? 1 : (size_t{256} << 20) / w.bytes();
  std::vector<PackedMatrix> weights;
  for (size_t i = 0; i < copies; ++i) weights.push_back(pack(w));
  Tensor x = random_matrix(m, k), y(DType::f32, {m, n});
  size_t next = 0;
  for (auto _ : state) {
    matmul(view(x), weights[next++ % copies], y.f32().data(), n);
  }
  auto times = static_cast<double>(state.iterations());
  using Counter = benchmark::Counter;
  state.counters["GB/s"] = Counter(1e-9 * static_cast<double>(w.bytes()) * times, Counter::kIsRate);
  const double operations = 2 * static_cast<double>(m * n * k) * times;
  state.counters["GFLOP/s"] = Counter(1e-9 * operations, Counter::kIsRate);
  if (m == 1) {
    static const double bandwidth = read_bandwidth();
    const double bytes = static_cast<double>(weights[0].bytes->size()) * times;
    state.counters["%memory"] = Counter(100 * bytes / bandwidth, Counter::kIsRate);
  }
  static const double peak = int8_peak_rate(num_threads());
  if (peak > 0) state.counters["%peak"] = Counter(100 * operations / peak, Counter::kIsRate);
}

const bool kRegistered = [] {
  struct {
    int64_t n, k;
  } shapes[] = {{2048, 2048}, {5632, 2048}, {2048, 5632}, {576, 1536}};
  for (DType type :
       {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0, DType::q2_k, DType::q3_k,
        DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs, DType::mxfp4}) {
    for (auto shape : shapes) {
      for (int64_t m : {1, 4, 16, 512}) {
        std::string name = fmt::format("{}/{}x{}/m:{}", info(type).name, shape.n, shape.k, m);
        benchmark::RegisterBenchmark(name.c_str(), multiply, type, m, shape.n, shape.k)
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace millrace
