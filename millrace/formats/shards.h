// The weights of a folder in several files, and the index that says which tensor is in which.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "millrace/formats/tensor_table.h"

namespace millrace {

/// Whether something is there; also false where the folder may not be looked into, unlike the
/// function that throws.
bool is_there(const std::filesystem::path& path);

/// All tensors of the shards that an index names, each read by `read`. Throws Error for a missing
/// shard, a tensor that is not in the shard that the index says, and a shard whose name is not a
/// plain one that ends with `ending`.
TensorTable read_shards(const std::filesystem::path& index, std::string_view ending,
                        const std::function<TensorTable(const std::filesystem::path&)>& read);

}  // namespace millrace
