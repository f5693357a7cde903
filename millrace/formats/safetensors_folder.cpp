// Reading the weights of a Hugging Face folder: one file, or shards that an index names.
#include <utility>

#include "millrace/formats/safetensors.h"
#include "millrace/formats/shards.h"

namespace millrace {

SafetensorsFile read_safetensors_folder(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (is_there(single)) return read_safetensors(single);
  require(is_there(index), "{}: has neither model.safetensors nor model.safetensors.index.json",
          folder.string());
  SafetensorsFile whole;
  whole.tensors = read_shards(index, ".safetensors", [&](const std::filesystem::path& path) {
    SafetensorsFile shard = read_safetensors(path);
    whole.metadata.merge(shard.metadata);
    return std::move(shard.tensors);
  });
  return whole;
}

}  // namespace millrace
