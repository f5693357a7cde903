// millrace serve: answers many people at once over HTTP.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/serve/service.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::vector<std::string> models;
  std::string config;
  bool print_config = false;
  serve::SettingValues flags;
};

serve::Settings settings_of(const Arguments& arguments) {
  serve::Settings settings;
  if (!arguments.config.empty()) {
    serve::apply(settings, serve::read_settings_file(arguments.config), arguments.config);
  }
  serve::apply(settings, serve::read_environment(std::getenv), "environment");
  serve::SettingValues flags;
  for (const std::string& model : arguments.models) flags.emplace_back("models", model);
  flags.insert(flags.end(), arguments.flags.begin(), arguments.flags.end());
  serve::apply(settings, flags, "command line");
  return settings;
}

/// SIGTERM and SIGINT are waited for, not handled: every thread that is started later blocks them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void write_line(std::string_view line) {
  fmt::print(stderr, "{}\n", line);
}

void serve_models(const Arguments& arguments) {
  const serve::Settings settings = settings_of(arguments);
  if (arguments.print_config) {
    fmt::print("{}", serve::print_settings(settings));
    return;
  }
  const sigset_t signals = block_signals();
  MachineOptions{static_cast<int>(settings.threads), settings.cpus, settings.numa}.apply();
  serve::Service service(settings, write_line);
  service.start();
  const char* scheme = settings.tls_cert.empty() ? "http" : "https";
  fmt::print("Millrace serves {} on {}://{}:{}\n", settings.models.front().name, scheme,
             settings.host, service.port());
  if (settings.api_keys.empty()) {
    fmt::print("There is no --api-key, so only this machine may call.\n");
  }
  fmt::print(
      "Try:  curl {}://{}:{}/v1/chat/completions -H 'Content-Type: application/json' "
      "-d '{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": "
      "\"Hello\"}}]}}'\n",
      scheme, settings.host, service.port(), settings.models.front().name);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second one ends the program at once
  fmt::print(stderr, "Finishing what is under way, at most {} s; once more to stop at once.\n",
             settings.drain_timeout);
  service.drain();
}

}  // namespace

void add_serve(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb =
      add_verb(app, "serve", "Answer over HTTP, as OpenAI's, Anthropic's and Ollama's servers do",
               "millrace serve runs/demo/model --port 8080");
  verb.add_option("MODEL", arguments->models,
                  "Folders, .gguf files or pulled names; NAME=PATH gives a model another name");
  verb.add_option("--config", arguments->config, "A YAML file with any of these settings")
      ->envname("MILLRACE_CONFIG");
  verb.add_flag("--print-config", arguments->print_config, "Print the settings and stop");
  for (const serve::Setting& setting : serve::settings()) {
    if (setting.name == "models") continue;
    const std::string flag = fmt::format("--{}", setting.name);
    const std::string name(setting.name);
    if (setting.argument.empty()) {
      verb.add_flag_callback(
          flag, [=] { arguments->flags.emplace_back(name, "true"); }, std::string(setting.help));
      continue;
    }
    verb.add_option_function<std::vector<std::string>>(
            flag,
            [=](const std::vector<std::string>& values) {
              for (const std::string& value : values) arguments->flags.emplace_back(name, value);
            },
            std::string(setting.help))
        ->type_name(std::string(setting.argument))
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  verb.callback([arguments] { serve_models(*arguments); });
}

}  // namespace millrace::cli
