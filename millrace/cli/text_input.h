// Texts that a verb is given: as arguments, or in a file.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace millrace::cli {

struct TextInput {
  std::vector<std::string> texts;
  std::string file;
  std::string field = "text";

  /// Adds the positional argument `name`, --file and --field.
  void add_to(CLI::App& verb, const std::string& name);
  /// All texts in order. Throws Error that names the file and the line.
  std::vector<std::string> read() const;
};

}  // namespace millrace::cli
