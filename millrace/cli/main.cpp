// millrace: the life of a language model in one program.
#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

#include "millrace/cli/verbs.h"

int main(int argc, char** argv) {
  using namespace millrace::cli;
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Millrace: train, run and measure language models on the machine you have.");
  app.require_subcommand(1);
  app.set_version_flag("--version", "millrace 0.1.0");
  app.footer("Try: millrace chat MODEL    millrace VERB --help");
  for (auto add : {add_chat, add_run, add_score, add_tokenize, add_tokenizer, add_train, add_runs,
                   add_eval, add_quantize, add_convert, add_show, add_bench, add_data}) {
    add(app);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are asked for; everything else is wrong usage.
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "millrace: {}\n", error.what());
    return 1;
  }
  return 0;
}
