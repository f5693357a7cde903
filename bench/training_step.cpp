// Training steps of two models on random tokens, without files: the median time of the gradients
// and of the optimiser's step, and the share of what the processor can multiply at best.
//   build/bench/bench_training_step gpt2 bf16 4 256 [STEPS [MICRO_BATCHES]]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/peak_rate.h"
#include "millrace/train/flops.h"
#include "millrace/train/gradients.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The demo's model, or GPT-2 of 124 million parameters.
ModelConfig config_of(std::string_view name, DType dtype) {
  const bool gpt2 = name == "gpt2";
  ModelConfig config;
  config.model_type = gpt2 ? "gpt2" : "llama";
  config.vocab_size = gpt2 ? 50257 : 4946;
  config.hidden_size = gpt2 ? 768 : 256;
  config.num_layers = gpt2 ? 12 : 5;
  config.num_heads = config.num_kv_heads = gpt2 ? 12 : 4;
  config.head_dim = 64;
  config.intermediate_size = gpt2 ? 3072 : 704;
  config.max_position_embeddings = 1024;
  config.activation = gpt2 ? Activation::gelu_tanh : Activation::silu;
  config.rope.rotary_dim = gpt2 ? 0 : 64;
  config.tie_word_embeddings = true;
  config.dtype = dtype;
  return config;
}

struct Shape {
  std::string_view model;
  DType dtype;
  int64_t sequences, length, steps, micro_batches;
};

void measure(const Shape& shape) {
  auto model = initialized_model(config_of(shape.model, shape.dtype), 1);
  OptimizerRecipe recipe;
  recipe.name = shape.model == "demo" ? "muon" : "adamw";
  recipe.lr = 1e-3;
  Optimizer optimizer(recipe, train_all_weights(*model), model->arithmetic());
  std::vector<Document> documents;
  std::vector<Piece> pieces;
  const auto vocabulary = static_cast<uint64_t>(model->config().vocab_size);
  for (int64_t i = 0; i < shape.sequences * shape.micro_batches; ++i) {
    Document document;
    for (int64_t t = 0; t <= shape.length; ++t) {
      const uint64_t mixed = static_cast<uint64_t>(i * 7919 + t) * 0x9e3779b97f4a7c15u;
      document.tokens.push_back(static_cast<int32_t>((mixed >> 33) % vocabulary));
    }
    document.scored.assign(document.tokens.size(), 1);
    documents.push_back(std::move(document));
    pieces.push_back({i, 0, shape.length});
  }
  TokenDataset dataset(documents);
  TrainingWorkspace workspace;
  std::vector<double> gradients, optimiser, whole, processor;
  double loss = 0;
  for (int64_t step = 0; step < shape.steps; ++step) {
    const std::clock_t begin = std::clock();
    Clock::time_point start = Clock::now();
    loss = accumulate_gradients(*model, nullptr, dataset, pieces,
                                {shape.sequences * shape.length, false}, workspace)
               .mean();
    gradients.push_back(seconds_since(start));
    start = Clock::now();
    optimizer.step(1);
    optimiser.push_back(seconds_since(start));
    whole.push_back(gradients.back() + optimiser.back());
    processor.push_back(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  const double tokens = static_cast<double>(shape.sequences * shape.length * shape.micro_batches);
  const double rate = peak_rate(model->arithmetic(), num_threads());
  const double flops = step_flops(*model, nullptr, pieces);
  fmt::print(
      "{} {} {}x{}x{}: {:.0f} tokens/s (best {:.0f}), {:.1f} % of {:.0f} GFLOP/s; gradients "
      "{:.1f} ms, optimiser {:.1f} ms, CPU {:.0f} ms, best {:.0f}, first step {:.0f} ms, "
      "activations {:.0f} MB, loss "
      "{:.9g}\n",
      shape.model, info(shape.dtype).name, shape.micro_batches, shape.sequences, shape.length,
      tokens / median(whole), tokens / *std::min_element(whole.begin(), whole.end()),
      100 * flops / median(whole) / rate, rate / 1e9, 1e3 * median(gradients),
      1e3 * median(optimiser), 1e3 * median(processor),
      1e3 * *std::min_element(processor.begin(), processor.end()), 1e3 * whole.front(),
      static_cast<double>(workspace.activations.bytes()) / 1e6, loss);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using millrace::DType;
  if (argc == 1) {
    millrace::measure({"demo", DType::bf16, 16, 256, 8, 1});
    millrace::measure({"gpt2", DType::bf16, 4, 64, 6, 1});
    return 0;
  }
  const auto number = [&](int i, int64_t otherwise) {
    return i < argc ? std::atoll(argv[i]) : otherwise;
  };
  const DType dtype = argc > 2 && std::string_view(argv[2]) == "f32" ? DType::f32 : DType::bf16;
  millrace::measure({argv[1], dtype, number(3, 4), number(4, 64), number(5, 6), number(6, 1)});
  return 0;
}
