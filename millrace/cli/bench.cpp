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
#include "millrace/kernels/peak_rate.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  int64_t prefill = 512, decode = 128, depth = 0, repeat = 5, streams = 1;
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

/// Each stream reads a prompt, then all write together. What `depth` asks for is read before the
/// clock starts.
Rates measure(const LanguageModel& model, const Arguments& arguments, uint64_t seed) {
  const int64_t context = model.model->config().max_position_embeddings;
  Scheduler scheduler(*model.model, {.max_positions = arguments.streams * context,
                                     .tokens_per_batch = arguments.prefill,
                                     .max_sequences = arguments.streams});
  int64_t first_tokens = 0;
  double all_prefilled = 0, finished = 0;
  Random random(seed);
  for (int64_t stream = 0; stream < arguments.streams; ++stream) {
    SequenceRequest request;
    for (int64_t i = 0; i < arguments.depth + arguments.prefill; ++i) {
      request.prompt.push_back(static_cast<int32_t>(
          random.below(static_cast<uint64_t>(model.model->config().vocab_size))));
    }
    request.max_tokens = arguments.decode + 1;
    request.sampling.temperature = 0;
    request.adapter = model.shared_adapter_map();
    request.on_token = [&, first = true](const GeneratedToken&) mutable {
      if (first && ++first_tokens == arguments.streams) all_prefilled = now();
      first = false;
      return true;
    };
    request.on_finish = [&](const Finish&) { finished = now(); };
    scheduler.submit(std::move(request));
  }
  for (int64_t read = 0; read < arguments.depth; read += arguments.prefill) scheduler.step();
  const double start = now();
  scheduler.run();
  const auto streams = static_cast<double>(arguments.streams);
  return {streams * static_cast<double>(arguments.prefill) / (all_prefilled - start),
          streams * static_cast<double>(arguments.decode) / (finished - all_prefilled)};
}

/// What one token costs: the weights that are read for it, and their multiplications and additions.
struct Cost {
  double bytes = 0, operations = 0;
  bool quantized = false;
};

Cost cost_of_token(const Model& model) {
  Cost cost;
  const size_t outer = model.specs().outer.size();
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    const bool head = &parameter == &model.head().weight;
    if (parameter.packed.bytes == nullptr || (i < outer && !head)) continue;  // a table
    cost.bytes += model.use(i) * static_cast<double>(parameter.packed.bytes->size());
    // A prompt needs the logits of its last token alone.
    const auto count = static_cast<double>(parameter.shape.count());
    if (!head) cost.operations += 2 * model.use(i) * count;
    cost.quantized |= is_quantized(parameter.packed.type);
  }
  return cost;
}

/// What parts of this machine's limits the rates are: of the reading of memory when one sequence
/// decodes, of the products' peak in prefill. 0 where the limit is not known.
Rates of_limits(const Model& model, const Rates& rates, int64_t streams) {
  const Cost cost = cost_of_token(model);
  const double peak =
      cost.quantized ? int8_peak_rate(num_threads()) : peak_rate(model.arithmetic(), num_threads());
  return {peak > 0 ? rates.prefill * cost.operations / peak : 0,
          streams == 1 ? rates.decode * cost.bytes / read_bandwidth() : 0};
}

std::string in_percent(double part, const char* of) {
  return part > 0 ? fmt::format(", {:.0f} % of {}", 100 * part, of) : "";
}

Json to_json(const Summary& summary) {
  return {{"median", summary.median}, {"min", summary.low}, {"max", summary.high}};
}

void bench(const Arguments& arguments) {
  // A pass reads `prefill` tokens, of one sequence after the other.
  require(arguments.depth % arguments.prefill == 0, "--depth {}: no multiple of --prefill {}",
          arguments.depth, arguments.prefill);
  require(arguments.depth == 0 || arguments.streams == 1, "--depth is for one stream");
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
  const double memory = peak_memory_mb();
  const Rates limits = of_limits(*model.model, {p.median, d.median}, arguments.streams);
  if (arguments.json) {
    return print_json({{"prefill_tokens_per_second", to_json(p)},
                       {"decode_tokens_per_second", to_json(d)},
                       {"prefill", arguments.prefill},
                       {"decode", arguments.decode},
                       {"depth", arguments.depth},
                       {"streams", arguments.streams},
                       {"repeat", arguments.repeat},
                       {"threads", num_threads()},
                       {"load_seconds", load_seconds},
                       {"peak_memory_mb", memory},
                       {"of_limit", {{"prefill", limits.prefill}, {"decode", limits.decode}}},
                       {"instruction_set", isa_name(isa())}});
  }
  fmt::print("prefill {:>5}  {:8.1f} tokens/s  ({:.1f} to {:.1f}){}\n", arguments.prefill, p.median,
             p.low, p.high, in_percent(limits.prefill, "the arithmetic's peak"));
  fmt::print("decode  {:>5}  {:8.1f} tokens/s  ({:.1f} to {:.1f}){}\n", arguments.decode, d.median,
             d.low, d.high, in_percent(limits.decode, "the memory's bandwidth"));
  if (arguments.depth > 0) fmt::print("after {} tokens; ", arguments.depth);
  fmt::print("{} streams, {} threads, {}, ready in {:.2f} s, at most {:.0f} MB\n",
             arguments.streams, num_threads(), isa_name(isa()), load_seconds, memory);
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
  verb.add_option("--depth", arguments->depth,
                  "Tokens read before the measurement, a multiple of --prefill")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
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
