// Options that several verbs share.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/language_model.h"

namespace millrace::cli {

/// A subcommand with its help text and an example, which help prints at the end.
CLI::App& add_verb(CLI::App& app, const std::string& name, const std::string& description,
                   const std::string& example);

/// A positional MODEL, or another option, that means a model: a path, or the name of one that was
/// pulled, in whose place its path is put.
CLI::Option& add_model(CLI::App& verb, const std::string& name, std::string& path,
                       const std::string& help);

/// --threads, --cpus and --numa: what of the machine a verb uses.
struct MachineOptions {
  int threads = 0;
  std::string cpus;
  std::string numa = "local";

  void add_to(CLI::App& verb);
  /// Before anything that is to use the machine. Throws Error that names the option.
  void apply() const;
};

/// MODEL, --adapter, MachineOptions and, for verbs that run the model, --no-cache and --cache-type.
struct ModelOptions {
  std::string model;
  std::string adapter;
  MachineOptions machine;
  bool no_cache = false;
  std::string cache_type;

  /// `runs`: the verb runs the model, so packed weights are worth keeping.
  void add_to(CLI::App& verb, bool runs = true);
  /// Takes the machine as asked for and opens the model.
  LanguageModel open() const;
  /// The same with the adapter, where one is given, merged into the weights. These are f32 then.
  LanguageModel open_merged() const;
};

/// --chat-template, for verbs that talk.
struct ChatTemplateOption {
  std::string name_or_file;

  void add_to(CLI::App& verb);
  /// Gives the model the template, if one was named. Throws Error where it is neither a file nor a
  /// built-in one.
  void apply(LanguageModel& model) const;
};

/// --max-tokens, --temperature and the rest of how tokens are chosen.
struct SamplingArguments {
  GenerationOptions options;
  std::vector<std::string> logit_bias;

  void add_to(CLI::App& verb);
  /// The options with "ID=BIAS" parsed. Throws Error that names a bad one.
  GenerationOptions parsed() const;
};

/// Prints one JSON object on a line of standard output.
void print_json(const Json& json);

}  // namespace millrace::cli
