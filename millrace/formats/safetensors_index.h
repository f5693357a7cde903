// model.safetensors.index.json and pytorch_model.bin.index.json: which tensor is in which shard.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace millrace {

/// The tensors' names by shard.
using SafetensorsIndex = std::map<std::string, std::set<std::string, std::less<>>>;

/// A larger index is refused.
inline constexpr uint64_t kMaxIndexBytes = 100'000'000;

/// Throws Error for a malformed index, one without tensors, and a shard name that is not the name
/// of a file in the same folder that ends with `ending`.
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& source,
                                         std::string_view ending = ".safetensors");

}  // namespace millrace
