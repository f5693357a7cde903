// Safetensors, Hugging Face's weights format: a JSON header, then the bytes of the tensors.
// https://huggingface.co/docs/safetensors
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "millrace/formats/tensor_table.h"

namespace millrace {

using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsFile {
  TensorTable tensors;  // in the order of their bytes
  SafetensorsMetadata metadata;
};

/// Reads one file by mapping it. Throws Error that names the file and the tensor for a header that
/// is malformed, larger than 100 MB, or disagrees with the bytes: tensors must follow each other
/// without overlap or gap, fill the file, and have as many bytes as dtype and shape say.
SafetensorsFile read_safetensors(const std::filesystem::path& path);

/// As read_safetensors, from bytes that `owner` keeps alive. `source` begins error messages.
SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& source,
                                  std::shared_ptr<const void> owner);

/// Reads the weights of a Hugging Face folder: model.safetensors, or the shards that
/// model.safetensors.index.json names. Throws Error for a missing shard, a tensor that is not in
/// the shard that the index says, and a shard name that is not a plain file name.
SafetensorsFile read_safetensors_folder(const std::filesystem::path& folder);

/// Writes one file, whole or not at all; tensors one after another, wide dtypes first so that each
/// is aligned, the first at a multiple of 64 bytes. Throws Error for a dtype that the format has no
/// name for (quantised blocks) and for two tensors of one name.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                       const SafetensorsMetadata& metadata = {});

/// Writes model.safetensors, or, when the tensors have more than `max_shard_bytes`, shards of at
/// most that size (or one tensor) and their index. Metadata gets `format: pt` where it names no
/// format, as transformers asks for. Weights that the folder held before are replaced.
void write_safetensors_folder(const std::filesystem::path& folder,
                              std::span<const TensorSource> tensors,
                              SafetensorsMetadata metadata = {},
                              uint64_t max_shard_bytes = uint64_t{5} << 30);

}  // namespace millrace
