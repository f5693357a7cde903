// Runs the real program, as somebody at a terminal would.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

struct Outcome {
  int status = 0;  ///< the exit status; 128 + the signal's number when one ended it
  std::string out, err;
};

struct Surroundings {
  std::optional<std::string> input;  ///< standard input; none: it is closed
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< set beside what there is
  std::filesystem::path folder = {};                                  ///< to run in
};

/// Runs a program; one that takes more than five minutes is killed.
Outcome run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                    const Surroundings& surroundings = {""});

/// `millrace ARGUMENTS…`
Outcome millrace_program(const std::vector<std::string>& arguments,
                         const Surroundings& surroundings = {""});

/// The object that `millrace ARGUMENTS… --json` prints; a test failure and null when it fails.
Json millrace_json(std::vector<std::string> arguments, const Surroundings& surroundings = {""});

}  // namespace millrace
