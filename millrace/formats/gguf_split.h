// Split GGUF models: the names of the parts and the keys that hold them together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace millrace {

inline constexpr const char* kSplitNo = "split.no";                       // u16, from 0
inline constexpr const char* kSplitCount = "split.count";                 // u16
inline constexpr const char* kSplitTensorsCount = "split.tensors.count";  // i32, of all parts

/// "dir/name" of part `number` (from 0) of `count` is "dir/name-00001-of-00003.gguf".
std::filesystem::path split_path(const std::string& prefix, uint32_t number, uint32_t count);

/// The prefix that split_path would make `path` from; nullopt when it is not such a name.
std::optional<std::string> split_prefix(const std::filesystem::path& path, uint32_t number,
                                        uint32_t count);

}  // namespace millrace
