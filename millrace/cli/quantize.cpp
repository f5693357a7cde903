// millrace quantize: a smaller copy of a model, as GGUF.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/generate/export.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  std::string out, type = "Q8_0";
  bool json = false;
};

void run(const Arguments& arguments) {
  Quantization quantization = quantization_from_name(arguments.type);
  std::filesystem::path out = arguments.out;
  require(out.extension() == ".gguf", "{}: quantised models are written as .gguf", out.string());
  LanguageModel model = arguments.model.open_merged();
  export_gguf(model, out, quantization);
  const uint64_t bytes = std::filesystem::file_size(out);
  const double bits =
      8.0 * static_cast<double>(bytes) / static_cast<double>(model.model->num_parameters());
  if (arguments.json) {
    return print_json({{"file", out.string()},
                       {"type", quantization.name},
                       {"bytes", bytes},
                       {"bits_per_weight", bits}});
  }
  fmt::print("{}: {}, {:.1f} MB, {:.2f} bits a weight\n", out.string(), quantization.name,
             static_cast<double>(bytes) / 1e6, bits);
}

}  // namespace

void add_quantize(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "quantize", "Write a smaller copy of a model as GGUF",
                            "millrace quantize runs/demo/model --type Q4_K_M --out small.gguf");
  arguments->model.add_to(verb, false);
  verb.add_option("--type", arguments->type, "Q8_0, Q4_0, Q4_K_M, Q5_K_M, Q6_K, IQ4_XS, MXFP4, BF16 …")
      ->capture_default_str();
  verb.add_option("--out", arguments->out, "The .gguf file to write")->required();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
