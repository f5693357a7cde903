// millrace train: pre-training and fine-tuning from a recipe, or with one dial.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/train/depth.h"
#include "millrace/train/trainer.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::string recipe, out, corpus;
  std::vector<std::string> overrides;
  int64_t depth = 0;
  MachineOptions machine;
  bool resume = false, dry_run = false, json = false;
};

Recipe resolve(const Arguments& arguments) {
  if (arguments.depth == 0) {
    require(!arguments.recipe.empty(),
            "which recipe? `millrace train recipes/x.yaml`, or --depth N --corpus FILE");
    return load_recipe(arguments.recipe, arguments.overrides);
  }
  require(!arguments.corpus.empty(), "--depth needs --corpus FILE, the text to train on");
  std::vector<std::string> overrides = arguments.overrides;
  // With the dial there is no recipe file: what stands in its place is an override too.
  if (!arguments.recipe.empty()) overrides.insert(overrides.begin(), arguments.recipe);
  return override_recipe(depth_recipe(arguments.depth, arguments.corpus), overrides);
}

std::filesystem::path folder_of(const Arguments& arguments, const Recipe& recipe) {
  return arguments.out.empty() ? std::filesystem::path("runs") / recipe.name
                               : std::filesystem::path(arguments.out);
}

/// A run that exists goes on when asked to; its own recipe then holds.
RunFolder open_run(const Arguments& arguments) {
  if (arguments.resume && !arguments.out.empty()) return RunFolder::open(arguments.out);
  const Recipe recipe = resolve(arguments);
  const std::filesystem::path folder = folder_of(arguments, recipe);
  return arguments.resume ? RunFolder::open(folder) : RunFolder::create(folder, recipe);
}

Json number_or_null(const std::optional<double>& number) {
  return number ? Json(*number) : Json();
}

void report(const Arguments& arguments, const std::filesystem::path& folder,
            const TrainingResult& result) {
  if (arguments.json) {
    return print_json(
        {{"run", folder.string()},
         {"finished", result.finished},
         {"step", result.step},
         {"steps", result.steps},
         {"loss", result.loss},
         {"heldout_loss", number_or_null(result.heldout_loss)},
         {"heldout_bits_per_byte", number_or_null(result.heldout_bits_per_byte)},
         {"heldout_bits_per_character", number_or_null(result.heldout_bits_per_character)},
         {"model", result.model.string()}});
  }
  fmt::print("step {} of {}, loss {:.4f}", result.step, result.steps, result.loss);
  if (result.heldout_bits_per_byte) {
    fmt::print(", held out {:.4f} bits a byte, {:.4f} a character", *result.heldout_bits_per_byte,
               result.heldout_bits_per_character.value_or(0));
  }
  if (result.finished) {
    fmt::print("\n{}  (curves: {})\n", result.model.string(), (folder / "report.html").string());
  } else {
    fmt::print("\nstopped; go on with: millrace train --resume --out {}\n", folder.string());
  }
}

void train_verb(const Arguments& arguments) {
  arguments.machine.apply();
  if (arguments.dry_run) {
    fmt::print("{}", to_yaml(resolve(arguments)));
    return;
  }
  RunFolder run = open_run(arguments);
  report(arguments, run.path(), train(run, {.show_progress = !arguments.json}));
}

}  // namespace

void add_train(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "train", "Pre-train or fine-tune a model",
                            "millrace train recipes/demo-pretrain.yaml optimizer.lr=3e-4\n"
                            "  millrace train --depth 4 --corpus book.txt\n"
                            "  millrace train --resume --out runs/demo/pretrain");
  verb.add_option("RECIPE", arguments->recipe, "A recipe (YAML)");
  verb.add_option("OVERRIDES", arguments->overrides, "Keys of the recipe, as key.path=value");
  verb.add_option("--depth", arguments->depth, "No recipe: a model of so many layers")
      ->check(CLI::Range(1, 64));
  verb.add_option("--corpus", arguments->corpus, "With --depth: the text to train on");
  verb.add_option("--out", arguments->out, "The run's folder (default: runs/NAME)");
  arguments->machine.add_to(verb);
  verb.add_flag("--resume", arguments->resume, "Go on from the run's last checkpoint");
  verb.add_flag("--dry-run", arguments->dry_run, "Check the recipe and print it in full");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { train_verb(*arguments); });
}

}  // namespace millrace::cli
