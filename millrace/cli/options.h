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

/// MODEL, --adapter, --threads and, for verbs that run the model again and again, --no-cache.
struct ModelOptions {
  std::string model;
  std::string adapter;
  int threads = 0;
  bool no_cache = false;

  /// `keeps_packed`: the verb runs the model, so packed weights are worth keeping.
  void add_to(CLI::App& verb, bool keeps_packed = true);
  /// Sets the number of threads and opens the model.
  LanguageModel open() const;
  /// The same with the adapter, where one is given, merged into the weights. These are f32 then.
  LanguageModel open_merged() const;
  void set_threads() const;
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
