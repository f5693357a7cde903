// millrace run: completes a prompt.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/generate/grammar/grammar_cache.h"

namespace millrace::cli {
namespace {

/// --json-schema, --grammar and --regex: what the answer must match.
struct GrammarOption {
  std::string json_schema, gbnf, regex;

  void add_to(CLI::App& verb) {
    CLI::Option* schema = verb.add_option("--json-schema", json_schema,
                                          "The answer is JSON that this schema (a file) allows");
    CLI::Option* grammar =
        verb.add_option("--grammar", gbnf, "The answer matches this grammar (a file in GBNF)");
    CLI::Option* expression = verb.add_option("--regex", regex, "The answer matches, as a whole");
    schema->excludes(grammar)->excludes(expression);
    grammar->excludes(expression);
  }

  /// Null where there is none.
  std::shared_ptr<const CompiledGrammar> compile(const LanguageModel& model) const {
    GrammarSource source;
    if (!json_schema.empty()) {
      source = {GrammarSource::Kind::json_schema, read_file(json_schema)};
    } else if (!gbnf.empty()) {
      source = {GrammarSource::Kind::gbnf, read_file(gbnf)};
    } else if (!regex.empty()) {
      source = {GrammarSource::Kind::regex, regex};
    } else {
      return nullptr;
    }
    auto trie = std::make_shared<const TokenTrie>(model.tokenizer, model.end_ids(),
                                                  model.model->config().vocab_size);
    return CompiledGrammar::compile(read_grammar(source), trie);
  }
};

struct Arguments {
  ModelOptions model;
  ChatTemplateOption chat_template;
  SamplingArguments sampling;
  GrammarOption grammar;
  std::string prompt, file;
  bool chat = false;
  bool json = false;
};

std::string prompt_text(const Arguments& arguments) {
  if (!arguments.file.empty() && arguments.file != "-") return read_file(arguments.file);
  if (!arguments.prompt.empty()) return arguments.prompt;
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

Json to_json(const Generation& result, const std::string& prompt) {
  const double answer = static_cast<double>(result.ids.size());
  return {{"prompt", prompt},
          {"text", result.text},
          {"ids", result.ids},
          {"log_probabilities", result.log_probabilities},
          {"finish_reason", finish_reason_name(result.finish_reason)},
          {"timings",
           {{"prompt_tokens", result.prompt_tokens},
            {"generated_tokens", result.ids.size()},
            {"prefill_seconds", result.prefill_seconds},
            {"decode_seconds", result.decode_seconds},
            {"decode_tokens_per_second",
             result.decode_seconds > 0 ? (answer - 1) / result.decode_seconds : 0.0}}}};
}

void run(const Arguments& arguments) {
  const std::string prompt = prompt_text(arguments);
  require(!prompt.empty(), "no prompt: give --prompt TEXT, --prompt-file F, or standard input");
  LanguageModel model = arguments.model.open();
  arguments.chat_template.apply(model);
  std::vector<int32_t> ids =
      arguments.chat ? chat_prompt(model, Json::array({{{"role", "user"}, {"content", prompt}}}))
                     : model.tokenizer.encode(prompt);
  OnText print = [](std::string_view text) {
    fmt::print("{}", text);
    std::fflush(stdout);
  };
  GenerationOptions options = arguments.sampling.parsed();
  options.grammar = arguments.grammar.compile(model);
  if (!arguments.chat) options.place = place_behind(model.tokenizer, ids);
  Generation result = generate(model, std::move(ids), options, arguments.json ? nullptr : print);
  if (arguments.json) {
    print_json(to_json(result, prompt));
  } else {
    fmt::print("\n");
  }
  if (options.grammar != nullptr && result.finish_reason == FinishReason::length) {
    fmt::print(stderr, "cut at --max-tokens {}: the answer is not complete\n", options.max_tokens);
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "run", "Complete a prompt",
                            "millrace run runs/demo/model --chat --prompt 写一首五言绝句");
  arguments->model.add_to(verb);
  arguments->chat_template.add_to(verb);
  verb.add_option("--prompt", arguments->prompt, "The text to continue (default: standard input)");
  verb.add_option("--prompt-file", arguments->file,
                  "Read the prompt from a file; -: standard input");
  verb.add_flag("--chat", arguments->chat, "The prompt is a user's message");
  arguments->sampling.add_to(verb);
  arguments->grammar.add_to(verb);
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
