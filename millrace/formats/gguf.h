// GGUF, llama.cpp's model format: typed metadata, then tensors, in one file or several.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "millrace/formats/gguf_metadata.h"
#include "millrace/formats/tensor_table.h"

namespace millrace {

struct GgufFile {
  uint32_t version = 3;
  GgufMetadata metadata;
  /// Shapes are row-major, outermost first: GGUF's dimensions reversed.
  TensorTable tensors;
};

/// Reads a file of version 2 or 3 by mapping it. A split model (name-00001-of-00003.gguf) is read
/// through its first file; the others must stand beside it. Throws Error that names the file and
/// the key or tensor for anything malformed, out of bounds, big-endian or of an unknown type.
GgufFile read_gguf(const std::filesystem::path& path);

/// Reads one file, or one part of a split model, from bytes that `owner` keeps alive. `source`
/// begins error messages.
GgufFile parse_gguf(std::span<const std::byte> bytes, const std::string& source,
                    std::shared_ptr<const void> owner);

/// Writes version 3, each file whole or not at all, tensors in the given order at multiples of 32
/// bytes. With a `max_file_bytes` the model is split into files of at most so many bytes of tensors
/// (or one tensor). Returns the files written: `path`, or the parts. Throws Error for a dtype that
/// GGUF has no number for and for two tensors of one name.
std::vector<std::filesystem::path> write_gguf(const std::filesystem::path& path,
                                              const GgufMetadata& metadata,
                                              std::span<const TensorSource> tensors,
                                              uint64_t max_file_bytes = 0);

}  // namespace millrace
