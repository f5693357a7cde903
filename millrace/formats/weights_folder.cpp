// Which files of a Hugging Face folder hold its weights.
#include <optional>

#include "millrace/formats/pytorch.h"
#include "millrace/formats/safetensors.h"
#include "millrace/formats/safetensors_index.h"
#include "millrace/formats/shards.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// The folder's only .pt or .pth file.
std::optional<fs::path> only_pytorch_file(const fs::path& folder) {
  std::optional<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".pt" && entry.path().extension() != ".pth") continue;
    if (found) return std::nullopt;
    found = entry.path();
  }
  return found;
}

/// Whether every shard that an index names is there.
bool has_shards(const fs::path& index, std::string_view ending) {
  const std::string text = read_file(index, kMaxIndexBytes);
  for (const auto& [shard, names] : parse_safetensors_index(text, index.string(), ending)) {
    if (!is_there(index.parent_path() / shard)) return false;
  }
  return true;
}

}  // namespace

bool has_weights(const fs::path& folder) {
  for (const auto& [whole, ending] :
       {std::pair("model.safetensors", ".safetensors"), std::pair("pytorch_model.bin", ".bin")}) {
    if (is_there(folder / whole)) return true;
    const fs::path index = folder / (whole + std::string(".index.json"));
    if (is_there(index)) return has_shards(index, ending);
  }
  return only_pytorch_file(folder).has_value();
}

TensorTable read_weights_folder(const fs::path& folder) {
  if (is_there(folder / "model.safetensors") || is_there(folder / "model.safetensors.index.json")) {
    return read_safetensors_folder(folder).tensors;
  }
  if (is_there(folder / "pytorch_model.bin")) return read_pytorch(folder / "pytorch_model.bin");
  const fs::path index = folder / "pytorch_model.bin.index.json";
  if (is_there(index)) return read_shards(index, ".bin", read_pytorch);
  const std::optional<fs::path> only = only_pytorch_file(folder);
  require(only.has_value(),
          "{}: has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of "
          "either, nor one .pt or .pth file",
          folder.string());
  return read_pytorch(*only);
}

}  // namespace millrace
