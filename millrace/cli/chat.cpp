// millrace chat: a conversation in the terminal.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  ChatTemplateOption chat_template;
  SamplingArguments sampling;
  std::string system;
};

void talk(const Arguments& arguments) {
  LanguageModel model = arguments.model.open();
  arguments.chat_template.apply(model);
  GenerationOptions options = arguments.sampling.parsed();
  const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  Scheduler scheduler(*model.model, {.max_sequences = 1});  // knows the turns before
  Json messages = Json::array();
  auto begin = [&] {
    messages = Json::array();
    if (!arguments.system.empty()) {
      messages.push_back({{"role", "system"}, {"content", arguments.system}});
    }
  };
  begin();
  if (terminal) fmt::print("/new begins anew, /quit or Ctrl-D ends.\n");
  std::string line;
  for (;;) {
    if (terminal) {
      fmt::print("> ");
      std::fflush(stdout);
    }
    if (!std::getline(std::cin, line) || line == "/quit") break;
    if (line.empty()) continue;
    if (line == "/new") {
      begin();
      continue;
    }
    messages.push_back({{"role", "user"}, {"content", line}});
    try {
      Generation answer = generate(model, scheduler, chat_prompt(model, messages), options,
                                   [](std::string_view text) {
                                     fmt::print("{}", text);
                                     std::fflush(stdout);
                                   });
      fmt::print("\n");
      messages.push_back({{"role", "assistant"}, {"content", answer.text}});
    } catch (const std::exception& error) {
      messages.erase(messages.end() - 1);
      fmt::print(stderr, "millrace: {}; /new begins anew\n", error.what());
    }
    ++options.sampling.seed;
  }
  if (terminal) fmt::print("\n");
}

}  // namespace

void add_chat(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  arguments->sampling.options.sampling.temperature = 0.8f;
  arguments->sampling.options.sampling.top_p = 0.95f;
  arguments->sampling.options.max_tokens = 1024;
  CLI::App& verb =
      add_verb(app, "chat", "Talk to a model", "millrace chat runs/demo/model --temperature 0.7");
  arguments->model.add_to(verb);
  arguments->chat_template.add_to(verb);
  verb.add_option("--system", arguments->system, "A message that tells the model how to behave");
  arguments->sampling.add_to(verb);
  verb.callback([arguments] { talk(*arguments); });
}

}  // namespace millrace::cli
