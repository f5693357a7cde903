// millrace rm: removes pulled models.
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/hub/store.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::vector<std::string> names;
  bool unfinished = false, json = false;
};

void remove(const Arguments& arguments) {
  require(!arguments.names.empty() || arguments.unfinished,
          "name a model that `millrace models` lists, or give --unfinished");
  const hub::Store store(hub::home_folder(std::getenv));
  uint64_t freed = 0;
  for (const std::string& name : arguments.names) freed += store.remove(name);
  if (arguments.unfinished) freed += store.remove_unfinished();
  if (arguments.json) return print_json({{"freed_bytes", freed}});
  fmt::print("{:.1f} MB are free again\n", static_cast<double>(freed) / 1e6);
}

}  // namespace

void add_rm(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb =
      add_verb(app, "rm", "Remove pulled models", "millrace rm hf:Qwen/Qwen2.5-0.5B-Instruct");
  verb.add_option("NAME", arguments->names, "As `millrace models` lists it");
  verb.add_flag("--unfinished", arguments->unfinished,
                "Remove what broken-off pulls left, and files that no model has");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { remove(*arguments); });
}

}  // namespace millrace::cli
