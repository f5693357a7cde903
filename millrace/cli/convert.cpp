// millrace convert: between Hugging Face folders and GGUF files, adapters merged.
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
  std::string out, type;
  bool json = false;
};

/// --type, or what the model's configuration says.
std::string type_name(const Arguments& arguments) {
  if (!arguments.type.empty()) return arguments.type;
  return std::string(info(load_config(arguments.model.model).dtype).name);
}

void to_gguf(const Arguments& arguments) {
  const Quantization quantization = quantization_from_name(type_name(arguments));
  export_gguf(arguments.model.open_merged(), arguments.out, quantization);
}

void to_folder(const Arguments& arguments) {
  const std::string name = type_name(arguments);
  const std::optional<DType> dtype = dtype_from_name(name);
  require(
      dtype && !is_quantized(*dtype),
      "--type {}: folders hold f32, bf16 or f16; `millrace quantize` writes other types as .gguf",
      name);
  LanguageModel model = arguments.model.open_merged();
  model.model->set_dtype(*dtype);
  export_folder(model, arguments.out, *dtype);
}

void run(const Arguments& arguments) {
  const bool gguf = std::filesystem::path(arguments.out).extension() == ".gguf";
  gguf ? to_gguf(arguments) : to_folder(arguments);
  if (arguments.json) return print_json({{"model", arguments.out}});
  fmt::print("{}\n", arguments.out);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "convert", "Between model folders and .gguf files",
                            "millrace convert model.gguf --out folder --type bf16");
  arguments->model.add_to(verb, false);
  verb.add_option("--out", arguments->out, "A folder, or a file that ends in .gguf")->required();
  verb.add_option("--type", arguments->type, "Type of the weights (default: the model's own)");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
