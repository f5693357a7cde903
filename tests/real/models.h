// Where tools/fetch-models puts models.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace millrace {

inline std::filesystem::path models_folder() {
  if (const char* cache = std::getenv("MILLRACE_CACHE")) {
    return std::filesystem::path(cache) / "models";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "" : home) / ".cache/millrace/models";
}

inline std::filesystem::path smollm2_file() {
  return models_folder() / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

}  // namespace millrace
