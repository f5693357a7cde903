// Everything but products: attention, norms, activations, losses, AdamW.
//   build/bench/bench_vector_kernels --benchmark_filter=attention
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/kernels/activation.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/delta_rule.h"
#include "millrace/kernels/loss.h"
#include "millrace/kernels/norm.h"
#include "millrace/kernels/optimizer.h"
#include "millrace/tensor/tensor.h"

namespace millrace {
namespace {

std::vector<float> normal_values(int64_t count) {
  Random random(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(random.normal());
  return values;
}

void rate(benchmark::State& state, const char* unit, double each) {
  state.counters[unit] = benchmark::Counter(1e-9 * each * static_cast<double>(state.iterations()),
                                            benchmark::Counter::kIsRate);
}

void rms_norm(benchmark::State& state) {
  const int64_t rows = 256, width = 1024;
  const std::vector<float> x = normal_values(rows * width), weight = normal_values(width);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    rms_norm_forward(x.data(), weight.data(), rows, width, 1e-5f, y.data(), nullptr);
  }
  rate(state, "GB/s", 8 * static_cast<double>(rows * width));
}
BENCHMARK(rms_norm)->UseRealTime();

void swiglu(benchmark::State& state) {
  const int64_t rows = 256, width = 1024;
  const std::vector<float> gate = normal_values(rows * width), up = gate;
  std::vector<float> y(gate.size());
  for (auto _ : state) {
    glu_forward(Activation::silu, gate.data(), up.data(), rows, width, width, y.data());
  }
  rate(state, "Gvalues/s", static_cast<double>(rows * width));
}
BENCHMARK(swiglu)->UseRealTime();

/// Qwen3-Next's heads in so many layers that their states come from memory; all of them a token.
void delta_rule(benchmark::State& state) {
  const DeltaShape shape{16, 32, 128, 128};
  const int64_t layers = 36, tokens = state.range(0);
  std::vector<float> states(static_cast<size_t>(layers * shape.state_size()));
  std::vector<float> q = normal_values(tokens * shape.key_width());
  for (float& x : q) x *= 0.05f;
  const std::vector<float> v = normal_values(tokens * shape.value_width());
  const std::vector<float> half(static_cast<size_t>(tokens * shape.value_heads), 0.5f);
  std::vector<float> out(v.size());
  for (auto _ : state) {
    for (int64_t i = 0; i < layers; ++i) {
      const StateSegment segment{0, tokens, states.data() + i * shape.state_size()};
      delta_rule_forward(shape, {&segment, 1},
                         {q.data(), q.data(), v.data(), half.data(), half.data()}, out.data());
    }
  }
  rate(state, "GB/s of states", 8 * static_cast<double>(states.size()));
  rate(state, "ktokens/s", 1e6 * static_cast<double>(tokens));
}
BENCHMARK(delta_rule)->Arg(1)->Arg(64)->UseRealTime();

void cross_entropy(benchmark::State& state) {
  const int64_t rows = 256, vocab = 8192;
  std::vector<float> logits = normal_values(rows * vocab), losses(rows);
  const std::vector<int32_t> targets(rows, 5);
  for (auto _ : state) {
    cross_entropy_forward_backward(logits.data(), targets.data(), rows, vocab, 1, losses.data());
  }
  rate(state, "Glogits/s", static_cast<double>(rows * vocab));
}
BENCHMARK(cross_entropy)->UseRealTime();

void adamw(benchmark::State& state) {
  const int64_t count = 1 << 20;
  const std::vector<float> grad = normal_values(count);
  std::vector<float> param = grad, m(grad.size()), v(grad.size());
  for (auto _ : state) {
    adamw_step(AdamW{}, grad.data(), count, param.data(), m.data(), v.data());
  }
  rate(state, "Gparams/s", static_cast<double>(count));
}
BENCHMARK(adamw)->UseRealTime();

struct Shape {
  int64_t sequences, length, heads, kv_heads, dim;
};

/// A batch of whole sequences, with its pages.
struct Batch {
  AttentionShape shape;
  std::vector<float> q, k, v;
  Tensor pages;
  std::vector<std::byte*> page_list;
  std::vector<AttentionSegment> segments;

  Batch(const Shape& s, DType dtype)
      : shape{s.heads, s.kv_heads, s.dim, 0.125f},
        q(normal_values(s.sequences * s.length * s.heads * s.dim)),
        k(normal_values(s.sequences * s.length * s.kv_heads * s.dim)),
        v(k) {
    const int64_t each = (s.length + kPageSize - 1) / kPageSize;
    const auto bytes = static_cast<int64_t>(page_bytes(shape, dtype));
    pages = Tensor(DType::u8, {s.sequences * each * bytes});
    for (int64_t i = 0; i < s.sequences * each; ++i) page_list.push_back(pages.data() + i * bytes);
    for (int64_t i = 0; i < s.sequences; ++i) {
      segments.push_back(
          {i * s.length, s.length, 0, {page_list.data() + i * each, static_cast<size_t>(each)}});
    }
    store_keys_values(shape, dtype, segments, k.data(), v.data());
  }
};

/// Multiplications and additions of the two causal products, forwards.
double operations(const Shape& s) {
  const auto pairs = static_cast<double>(s.length * (s.length + 1) / 2);
  return 4 * pairs * static_cast<double>(s.sequences * s.heads * s.dim);
}

void forward(benchmark::State& state, Shape s, DType dtype) {
  const Batch b(s, dtype);
  std::vector<float> out(b.q.size());
  for (auto _ : state) {
    attention_forward(b.shape, dtype, b.segments, b.q.data(), out.data(), nullptr);
  }
  rate(state, "GFLOP/s", operations(s));
}

/// The last token of every sequence.
void decode(benchmark::State& state, Shape s, DType dtype) {
  Batch b(s, dtype);
  for (AttentionSegment& segment : b.segments) {
    segment.first_position = s.length - 1;
    segment.query_count = 1;
  }
  std::vector<float> out(b.q.size());
  for (auto _ : state) {
    attention_forward(b.shape, dtype, b.segments, b.q.data(), out.data(), nullptr);
  }
  rate(state, "GB/s",
       static_cast<double>(2 * s.sequences * s.length * s.kv_heads * s.dim *
                           info(dtype).block_bytes));
}

void backward(benchmark::State& state, Shape s) {
  const Batch b(s, DType::f32);
  std::vector<float> out(b.q.size()), dq(b.q.size()), dk(b.k.size()), dv(b.k.size());
  std::vector<float> log_sum_exp(b.q.size() / static_cast<size_t>(s.dim));
  attention_forward(b.shape, DType::f32, b.segments, b.q.data(), out.data(), log_sum_exp.data());
  for (auto _ : state) {
    attention_backward(b.shape, b.segments, b.q.data(), b.k.data(), b.v.data(), out.data(),
                       b.q.data(), log_sum_exp.data(), dq.data(), dk.data(), dv.data());
  }
  rate(state, "GFLOP/s", 2.5 * operations(s));
}

const bool kRegistered = [] {
  for (Shape s : {Shape{64, 64, 4, 4, 64}, Shape{1, 512, 9, 3, 64}, Shape{4, 256, 12, 12, 64},
                  Shape{1, 1024, 32, 8, 128}}) {
    const std::string text =
        fmt::format("{}x{}/heads:{}of{}/dim:{}", s.sequences, s.length, s.heads, s.kv_heads, s.dim);
    const auto add = [&](const std::string& name, auto function, auto... arguments) {
      benchmark::RegisterBenchmark((name + text).c_str(), function, s, arguments...)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    };
    for (DType dtype : {DType::f32, DType::bf16}) {
      add(fmt::format("attention_forward/{}/", info(dtype).name), forward, dtype);
      add(fmt::format("attention_decode/{}/", info(dtype).name), decode, dtype);
    }
    add("attention_backward/", backward);
  }
  return true;
}();

}  // namespace
}  // namespace millrace
