// How much memory there is.
#pragma once

#include <cstdint>
#include <filesystem>

namespace millrace {

/// Bytes of memory that the machine has, or the container may use.
uint64_t physical_memory(const std::filesystem::path& root = "/");

/// Bytes that could be used now without swapping, within the same. `root` stands for the file
/// system's.
uint64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace millrace
