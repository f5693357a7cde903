// millrace bench: how fast a model reads and writes on this machine.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "millrace/base/thread_pool.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/kernels/isa.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  int64_t prefill = 512, decode = 128, repeat = 5, streams = 1;
  bool json = false;
};

struct Summary {
  double median = 0, low = 0, high = 0;
};

Summary summarize(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double peak_memory_mb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Rates {
  double prefill = 0, decode = 0;  // tokens a second
};

/// Each stream reads a prompt, then all write together.
Rates measure(const LanguageModel& model, const Arguments& arguments, uint64_t seed) {
  const int64_t context = model.model->config().max_position_embeddings;
  Scheduler scheduler(*model.model,
                      {.max_positions = arguments.streams * context,
                       .tokens_per_batch = arguments.prefill,
                       .max_sequences = arguments.streams},
                      model.adapter_map());
  int64_t first_tokens = 0;
  double all_prefilled = 0, finished = 0;
  Random random(seed);
  for (int64_t stream = 0; stream < arguments.streams; ++stream) {
    SequenceRequest request;
    for (int64_t i = 0; i < arguments.prefill; ++i) {
      request.prompt.push_back(static_cast<int32_t>(
          random.below(static_cast<uint64_t>(model.model->config().vocab_size))));
    }
    request.max_tokens = arguments.decode + 1;
    request.sampling.temperature = 0;
    request.on_token = [&, first = true](int32_t, float) mutable {
      if (first && ++first_tokens == arguments.streams) all_prefilled = now();
      first = false;
      return true;
    };
    request.on_finish = [&](FinishReason) { finished = now(); };
    scheduler.submit(std::move(request));
  }
  const double start = now();
  scheduler.run();
  const auto streams = static_cast<double>(arguments.streams);
  return {streams * static_cast<double>(arguments.prefill) / (all_prefilled - start),
          streams * static_cast<double>(arguments.decode) / (finished - all_prefilled)};
}

Json to_json(const Summary& summary) {
  return {{"median", summary.median}, {"min", summary.low}, {"max", summary.high}};
}

void bench(const Arguments& arguments) {
  const double start = now();
  LanguageModel model = arguments.model.open();
  const double load_seconds = now() - start;
  std::vector<double> prefill, decode;
  measure(model, arguments, 0);  // warms caches and pages up
  for (int64_t i = 0; i < arguments.repeat; ++i) {
    Rates rates = measure(model, arguments, static_cast<uint64_t>(i) + 1);
    prefill.push_back(rates.prefill);
    decode.push_back(rates.decode);
  }
  const Summary p = summarize(prefill), d = summarize(decode);
  if (arguments.json) {
    return print_json({{"prefill_tokens_per_second", to_json(p)},
                       {"decode_tokens_per_second", to_json(d)},
                       {"prefill", arguments.prefill},
                       {"decode", arguments.decode},
                       {"streams", arguments.streams},
                       {"repeat", arguments.repeat},
                       {"threads", num_threads()},
                       {"load_seconds", load_seconds},
                       {"peak_memory_mb", peak_memory_mb()},
                       {"instruction_set", isa_name(isa())}});
  }
  fmt::print("prefill {:>5}  {:8.1f} tokens/s  ({:.1f} to {:.1f})\n", arguments.prefill, p.median,
             p.low, p.high);
  fmt::print("decode  {:>5}  {:8.1f} tokens/s  ({:.1f} to {:.1f})\n", arguments.decode, d.median,
             d.low, d.high);
  fmt::print("{} streams, {} threads, {}, ready in {:.2f} s, at most {:.0f} MB\n",
             arguments.streams, num_threads(), isa_name(isa()), load_seconds, peak_memory_mb());
}

}  // namespace

void add_bench(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "bench", "Measure a model's speed and memory",
                            "millrace bench model.gguf --prefill 512 --decode 128 --threads 2");
  arguments->model.add_to(verb);
  auto positive = CLI::Range(int64_t{1}, int64_t{1} << 20);
  verb.add_option("--prefill", arguments->prefill, "Tokens of each prompt")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--decode", arguments->decode, "Tokens of each answer")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--repeat", arguments->repeat, "Measurements")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--streams", arguments->streams, "Sequences at the same time")
      ->check(positive)
      ->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { bench(*arguments); });
}

}  // namespace millrace::cli
