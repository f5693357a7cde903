// millrace: the life of a language model in one program.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

#include "millrace/cli/verbs.h"

namespace {

/// A standard stream that is closed must not become one of our files.
void open_standard_streams() {
  int file = 0;
  while (file >= 0 && file <= STDERR_FILENO) file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (file >= 0) ::close(file);
}

/// What was printed may still wait to be written, and there may be no room for it.
int flushed() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  fmt::print(stderr, "millrace: cannot write to standard output: {}\n", std::strerror(errno));
  return 1;
}

/// Wrong usage, or help that was asked for.
int explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "-";
  const bool known =
      !app.get_subcommands([&](const CLI::App* one) { return one->get_name() == verb; }).empty();
  if (!verb.starts_with('-') && !known) {
    fmt::print(stderr, "millrace: there is no verb '{}'; millrace --help lists them\n", verb);
    return 2;
  }
  return app.exit(error) == 0 ? flushed() : 2;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace::cli;
  open_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not become larger is an error like a full disk
  CLI::App app("Millrace: train, run and measure language models on the machine you have.");
  app.require_subcommand(1);
  app.set_version_flag("--version", "millrace 0.1.0");
  app.footer("Try: millrace chat MODEL    millrace VERB --help");
  for (auto add : {add_chat, add_run, add_serve, add_score, add_tokenize, add_tokenizer, add_train,
                   add_runs, add_eval, add_embed, add_rerank, add_quantize, add_convert, add_show,
                   add_bench, add_data, add_pull, add_models, add_rm}) {
    add(app);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return explain(app, error, argc, argv);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "millrace: {}\n", error.what());
    return 1;
  }
  return flushed();
}
