// Writing GGUF version 3, in one file or split.
#include <cstring>
#include <type_traits>
#include <utility>

#include "millrace/formats/gguf.h"
#include "millrace/formats/gguf_dtype.h"
#include "millrace/formats/gguf_split.h"

namespace millrace {
namespace {

constexpr uint64_t kAlignment = 32;     // the default, which a file need not state
constexpr uint64_t kMaxNameBytes = 63;  // llama.cpp reads names into 64 bytes

uint64_t padding_after(uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

template <typename T>
void put(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put<uint64_t>(out, value.size());
    out += value;
  } else if constexpr (std::is_same_v<T, bool>) {
    out += value ? '\1' : '\0';
  } else if constexpr (std::is_same_v<T, GgufArray>) {
    put(out, static_cast<uint32_t>(value.values.index()));
    std::visit(
        [&](const auto& elements) {
          put<uint64_t>(out, elements.size());
          using Element = typename std::decay_t<decltype(elements)>::value_type;
          for (const Element& element : elements) put<Element>(out, element);
        },
        value.values);
  } else {
    static_assert(std::is_arithmetic_v<T>);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
}

/// Everything before the tensors' bytes, padded to their begin.
std::string header_bytes(const GgufMetadata& metadata, std::span<const TensorSource> tensors,
                         const std::string& where) {
  std::string out = "GGUF";
  put(out, uint32_t{3});
  put<uint64_t>(out, tensors.size());
  put<uint64_t>(out, metadata.size());
  for (const auto& [key, value] : metadata) {
    put(out, key);
    put(out, static_cast<uint32_t>(value.index()));
    std::visit([&](const auto& stored) { put(out, stored); }, value);
  }
  uint64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    std::optional<uint32_t> number = ggml_number(tensor.dtype);
    require(number.has_value(), "{}: tensor {}: GGUF cannot hold {}", where, quote(tensor.name),
            info(tensor.dtype).name);
    require(tensor.name.size() <= kMaxNameBytes, "{}: tensor {}: a name of more than {} bytes",
            where, quote(tensor.name), kMaxNameBytes);
    put(out, tensor.name);
    put(out, static_cast<uint32_t>(tensor.shape.rank()));
    for (int i = tensor.shape.rank() - 1; i >= 0; --i)
      put<uint64_t>(out, static_cast<uint64_t>(tensor.shape[i]));
    put(out, *number);
    put(out, offset);
    offset += tensor.bytes() + padding_after(tensor.bytes());
  }
  out.append(padding_after(out.size()), '\0');
  return out;
}

void write_one(const std::filesystem::path& path, const GgufMetadata& metadata,
               std::span<const TensorSource> tensors) {
  std::string header = header_bytes(metadata, tensors, path.string());
  FileWriter file(path);
  file.write(header);
  for (const TensorSource& tensor : tensors) {
    write_tensor(file, tensor);
    file.write(std::string(padding_after(tensor.bytes()), '\0'));
  }
  file.commit();
}

}  // namespace

std::vector<std::filesystem::path> write_gguf(const std::filesystem::path& path,
                                              const GgufMetadata& metadata,
                                              std::span<const TensorSource> tensors,
                                              uint64_t max_file_bytes) {
  require_distinct_names(tensors, path.string());
  GgufMetadata own = metadata;
  for (const char* key : {"general.alignment", kSplitNo, kSplitCount, kSplitTensorsCount}) {
    own.erase(key);
  }
  std::vector<std::span<const TensorSource>> parts = split_by_bytes(tensors, max_file_bytes);
  if (parts.size() == 1) {
    write_one(path, own, tensors);
    return {path};
  }
  require(parts.size() <= 65535, "{}: a split into {} files; choose larger ones", path.string(),
          parts.size());
  const auto count = static_cast<uint16_t>(parts.size());
  const std::string prefix = (path.parent_path() / path.stem()).string();
  std::vector<std::filesystem::path> written;
  for (uint16_t i = 0; i < count; ++i) {
    // The first part has all the metadata, the others only their place.
    GgufMetadata part = i == 0 ? std::move(own) : GgufMetadata();
    part.set(kSplitNo, i);
    part.set(kSplitCount, count);
    part.set(kSplitTensorsCount, static_cast<int32_t>(tensors.size()));
    written.push_back(split_path(prefix, i, count));
    write_one(written.back(), part, parts[i]);
  }
  return written;
}

}  // namespace millrace
