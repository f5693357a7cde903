// millrace data prepare: raw text to training files.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/data/prepare.h"
#include "millrace/data/prepare_poetry.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::vector<std::filesystem::path> files, heldout;
  std::string out;
  PrepareOptions general;
  PoetryOptions poetry;
  bool poems = false, json = false;
};

void print_row(const std::string& name, const Json& documents, const Json& characters) {
  fmt::print("{:<12}{:>10}{:>14}\n", name, documents.get<int64_t>(), characters.get<int64_t>());
}

/// Documents and characters of what was read, kept and dropped.
void print_corpus(const Json& report) {
  fmt::print("{:<12}{:>10}{:>14}\n", "", "documents", "characters");
  for (const char* part : {"read", "train", "heldout"}) {
    print_row(part, report.at(part).at("documents"), report.at(part).at("characters"));
  }
  for (const auto& [reason, counts] : report.at("dropped").items()) {
    if (counts.at("documents") == 0) continue;
    print_row(reason, counts.at("documents"), counts.at("characters"));
  }
}

/// Poems and characters of each form, to train on and held out.
void print_poems(const Json& report) {
  for (const char* part : {"train", "heldout"}) {
    fmt::print("{:<12}{:>10}{:>14}\n", part, "poems", "characters");
    for (const auto& [form, counts] : report.at(part).items()) {
      print_row(form, counts.at("poems"), counts.at("characters"));
    }
  }
}

void prepare(const Arguments& arguments) {
  Progress progress("preparing", static_cast<int64_t>(arguments.files.size()));
  auto show = [&](const PrepareProgress& p) {
    progress.update(static_cast<int64_t>(p.files_done), fmt::format("{} documents", p.documents));
  };
  Json report = arguments.poems
                    ? prepare_poetry(arguments.files, arguments.heldout, arguments.out,
                                     arguments.poetry, show)
                    : prepare_corpus(arguments.files, arguments.out, arguments.general, show);
  progress.finish();
  if (arguments.json) return print_json(report);
  arguments.poems ? print_poems(report) : print_corpus(report);
  fmt::print("{}  (all figures: {}/report.json)\n", arguments.out, arguments.out);
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App& data = *app.add_subcommand("data", "Work on corpora");
  data.require_subcommand(1);
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(data, "prepare", "Clean raw text and hold a part of it out",
                            "millrace data prepare books/*.txt --out corpus");
  verb.add_option("FILES", arguments->files, ".txt, .jsonl or .json, each also .zst")->required();
  verb.add_option("--out", arguments->out, "The folder to write")->required();
  PrepareOptions& general = arguments->general;
  verb.add_option("--text-field", general.text_field, "Where JSON records keep their text")
      ->capture_default_str();
  verb.add_option("--separator", general.separator,
                  "The line between two documents of a .txt file (default: blank lines)");
  verb.add_option("--min-characters", general.min_characters)->capture_default_str();
  verb.add_option("--max-characters", general.max_characters, "0: no limit")->capture_default_str();
  verb.add_option("--heldout-fraction", general.heldout_fraction)->capture_default_str();
  verb.add_flag("!--keep-repeats", general.deduplicate, "Keep documents that were seen before");
  verb.add_flag("!--no-normalize", general.normalize, "Leave Unicode as it is, not in form C");
  verb.add_flag("--poems", arguments->poems,
                "The files are poem records: write pages, instructions and requests");
  verb.add_option("--heldout", arguments->heldout, "With --poems: the poems to hold out");
  verb.add_option("--requests-per-poem", arguments->poetry.requests_per_poem)
      ->capture_default_str();
  verb.add_option("--seed", general.seed)->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print the report as one JSON object");
  verb.callback([arguments] {
    arguments->poetry.seed = arguments->general.seed;
    prepare(*arguments);
  });
}

}  // namespace millrace::cli
