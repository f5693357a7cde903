// PyTorch's weights files (.bin, .pt, .pth): a zip archive of a pickle, which is never executed,
// and the bytes of its storages.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "millrace/formats/tensor_table.h"

namespace millrace {

/// Reads one file by mapping it. Tensors whose values lie one after another borrow its bytes;
/// others (transposed ones) are copied. Throws Error for what read_stored_zip and
/// read_pickled_tensors refuse, and for a tensor that leaves its storage, overlaps itself, or has
/// more than 4 dimensions.
TensorTable read_pytorch(const std::filesystem::path& path);

/// As read_pytorch, from bytes that `owner` keeps alive. `source` begins error messages.
TensorTable parse_pytorch(std::span<const std::byte> bytes, const std::string& source,
                          std::shared_ptr<const void> owner);

/// Reads the weights of a Hugging Face folder: safetensors (read_safetensors_folder) where they
/// are, else pytorch_model.bin, the shards that pytorch_model.bin.index.json names, or the folder's
/// only .pt or .pth file.
TensorTable read_weights_folder(const std::filesystem::path& folder);

/// Whether the files are there that it reads, all shards included.
bool has_weights(const std::filesystem::path& folder);

}  // namespace millrace
