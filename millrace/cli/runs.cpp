// millrace runs: what was trained, and how it went.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/train/report.h"
#include "millrace/train/run_folder.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::string root = "runs", run;
  bool json = false;
};

Json to_json(const RunSummary& run) {
  Json json = {{"path", run.path.string()}, {"name", run.name}, {"task", run.task},
               {"state", run.state},        {"step", run.step}, {"steps", run.steps}};
  json["loss"] = run.loss ? Json(*run.loss) : Json();
  json["heldout_bits_per_byte"] =
      run.heldout_bits_per_byte ? Json(*run.heldout_bits_per_byte) : Json();
  return json;
}

std::string number_or_dash(const std::optional<double>& number) {
  return number ? fmt::format("{:.4f}", *number) : "-";
}

void list(const Arguments& arguments) {
  std::vector<RunSummary> runs = list_runs(arguments.root);
  if (arguments.json) {
    Json all = Json::array();
    for (const RunSummary& run : runs) all.push_back(to_json(run));
    return print_json({{"runs", all}});
  }
  if (runs.empty()) {
    fmt::print("no runs below {}; `millrace train RECIPE` makes one\n", arguments.root);
    return;
  }
  fmt::print("{:<32} {:<9} {:<9} {:>15} {:>8} {:>10}\n", "run", "task", "state", "step", "loss",
             "bits/byte");
  for (const RunSummary& run : runs) {
    fmt::print("{:<32} {:<9} {:<9} {:>7}/{:<7} {:>8} {:>10}\n", run.path.string(), run.task,
               run.state, run.step, run.steps, number_or_dash(run.loss),
               number_or_dash(run.heldout_bits_per_byte));
  }
}

bool terminal_speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string_view text = value;
    return text.find("UTF-8") != std::string_view::npos ||
           text.find("utf8") != std::string_view::npos;
  }
  return false;
}

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::clamp<int>(size.ws_col, 40, 160);
}

void show(const Arguments& arguments) {
  RunSummary run = summarize_run(arguments.run);
  std::vector<Json> log = read_log(arguments.run);
  if (arguments.json) {
    Json json = to_json(run);
    json["log"] = log;
    return print_json(json);
  }
  fmt::print("{}\n",
             plot_text(loss_plot(log, run.name), terminal_columns(), 20, terminal_speaks_utf8()));
  fmt::print("{}: {}, step {} of {}, loss {}, {} bits a held-out byte\n", run.path.string(),
             run.state, run.step, run.steps, number_or_dash(run.loss),
             number_or_dash(run.heldout_bits_per_byte));
}

}  // namespace

void add_runs(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "runs", "List training runs, or show one",
                            "millrace runs show runs/demo/pretrain");
  verb.add_option("--root", arguments->root, "Where runs are")->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  CLI::App& one =
      add_verb(verb, "show", "Draw a run's loss curve", "millrace runs show runs/demo/pretrain");
  one.add_option("RUN", arguments->run, "The run's folder")->required();
  one.add_flag("--json", arguments->json, "Print one JSON object, with the log");
  one.callback([arguments] { show(*arguments); });
  verb.callback([arguments, &verb] {
    if (verb.get_subcommands().empty()) list(*arguments);
  });
}

}  // namespace millrace::cli
