// Where the real vocabularies for tests lie, which are not part of the repository.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace millrace {

inline std::filesystem::path test_data_folder() {
  const char* set = std::getenv("MILLRACE_TEST_DATA");
  return set != nullptr ? std::filesystem::path(set)
                        : std::filesystem::path(MILLRACE_SOURCE_DIR) / "../shared/data";
}

/// A real tokenizer without its model, as llama.cpp has them for its own tests.
inline std::filesystem::path vocabulary_file(const std::string& name) {
  return test_data_folder() / "vocab" / ("ggml-vocab-" + name + ".gguf");
}

}  // namespace millrace

/// Skips the test where a file is missing.
#define MILLRACE_REQUIRE_FILE(path)                                                           \
  if (!std::filesystem::exists(path)) {                                                       \
    GTEST_SKIP() << "no " << (path) << "; set MILLRACE_TEST_DATA to the folder of test data"; \
  }
