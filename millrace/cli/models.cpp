// millrace models: what was pulled.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/formats/gguf.h"
#include "millrace/formats/pytorch.h"
#include "millrace/hub/store.h"

namespace millrace::cli {
namespace {

struct Kind {
  std::string family = "-", type = "-";  // of files that Millrace does not know
};

/// The type that most of the weights have.
std::string type_of(const TensorTable& tensors) {
  std::map<std::string_view, uint64_t> bytes;
  for (const NamedTensor& named : tensors) {
    bytes[info(named.tensor.dtype()).name] += named.tensor.bytes();
  }
  if (bytes.empty()) return "-";
  return std::string(
      std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; })->first);
}

Kind kind_of(const hub::StoredModel& model) {
  Kind kind;
  try {
    kind.family = load_config(model.path).model_type;
    kind.type = type_of(model.path.extension() == ".gguf" ? read_gguf(model.path).tensors
                                                          : read_weights_folder(model.path));
  } catch (const Error&) {
    // What is known is listed.
  }
  return kind;
}

void list(bool json) {
  Json rows = Json::array();
  for (const hub::StoredModel& model : hub::Store(hub::home_folder(std::getenv)).list()) {
    const hub::Manifest& manifest = model.manifest;
    const Kind kind = kind_of(model);
    rows.push_back({{"name", manifest.name},
                    {"bytes", manifest.size()},
                    {"family", kind.family},
                    {"type", kind.type},
                    {"path", model.path.string()},
                    {"source", manifest.source},
                    {"revision", manifest.revision},
                    {"commit", manifest.commit}});
  }
  if (json) return print_json({{"models", rows}});
  size_t width = 4;
  for (const Json& row : rows) width = std::max(width, row["name"].get<std::string>().size());
  fmt::print("{:<{}}  {:>10}  {:<12} {:<6} {}\n", "NAME", width, "SIZE", "FAMILY", "TYPE", "PATH");
  for (const Json& row : rows) {
    fmt::print("{:<{}}  {:>7.1f} MB  {:<12} {:<6} {}\n", row["name"].get<std::string>(), width,
               row["bytes"].get<double>() / 1e6, row["family"].get<std::string>(),
               row["type"].get<std::string>(), row["path"].get<std::string>());
  }
}

}  // namespace

void add_models(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  CLI::App& verb = add_verb(app, "models", "The models that were pulled", "millrace models --json");
  verb.add_flag("--json", *json, "Print one JSON object");
  verb.callback([json] { list(*json); });
}

}  // namespace millrace::cli
