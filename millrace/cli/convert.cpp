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

void run(const Arguments& arguments) {
  const bool to_gguf = std::filesystem::path(arguments.out).extension() == ".gguf";
  arguments.model.set_threads();
  LoadOptions options;
  const bool merging = !arguments.model.adapter.empty();
  if (merging) options.dtype = DType::f32;
  const DType dtype = [&] {
    if (arguments.type.empty() || to_gguf) return load_config(arguments.model.model).dtype;
    std::optional<DType> named = dtype_from_name(arguments.type);
    require(named.has_value(), "--type {}: unknown; folders hold f32, bf16 or f16", arguments.type);
    return *named;
  }();
  LanguageModel model =
      open_language_model(arguments.model.model, arguments.model.adapter, options);
  if (merging) merge(*model.model, *model.adapter);
  if (to_gguf) {
    export_gguf(model, arguments.out,
                quantization_from_name(arguments.type.empty() ? info(dtype).name : arguments.type));
  } else {
    require(!is_quantized(dtype),
            "--type {}: folders hold f32, bf16 or f16; `millrace quantize` "
            "writes the others as .gguf",
            arguments.type);
    export_folder(model, arguments.out, dtype);
  }
  if (arguments.json) return print_json({{"model", arguments.out}});
  fmt::print("{}\n", arguments.out);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "convert", "Between model folders and .gguf files",
                            "millrace convert model.gguf --out folder --type bf16");
  arguments->model.add_to(verb);
  verb.add_option("--out", arguments->out, "A folder, or a file that ends in .gguf")->required();
  verb.add_option("--type", arguments->type, "Type of the weights (default: the model's own)");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
