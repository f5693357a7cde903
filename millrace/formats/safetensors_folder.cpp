// Reading the weights of a Hugging Face folder: one file, or shards that an index names.
#include <system_error>
#include <utility>

#include "millrace/formats/safetensors.h"
#include "millrace/formats/safetensors_index.h"

namespace millrace {
namespace {

/// Also false where the folder may not be looked into, unlike the function that throws.
bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

SafetensorsFile read_safetensors_folder(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index_path = folder / "model.safetensors.index.json";
  if (is_there(single)) return read_safetensors(single);
  require(is_there(index_path),
          "{}: has neither model.safetensors nor model.safetensors.index.json", folder.string());

  const std::string where = index_path.string();
  constexpr uint64_t kMaxIndexBytes = 100'000'000;
  SafetensorsIndex index = parse_safetensors_index(read_file(index_path, kMaxIndexBytes), where);
  SafetensorsFile whole{TensorTable(where), {}};
  for (const auto& [shard_name, tensor_names] : index) {
    const std::filesystem::path path = folder / shard_name;
    require(is_there(path), "{}: its shard {} is missing; fetch it into {}", where,
            quote(shard_name), folder.string());
    SafetensorsFile shard = read_safetensors(path);
    for (const std::string& name : tensor_names) {
      require(shard.tensors.find(name) != nullptr, "{}: tensor {} is not in {} as the index says",
              where, quote(name), path.string());
    }
    for (const NamedTensor& entry : shard.tensors) {
      require(tensor_names.contains(entry.name), "{}: tensor {} in {} is not there by the index",
              where, quote(entry.name), path.string());
    }
    whole.tensors.append(std::move(shard.tensors));
    whole.metadata.merge(shard.metadata);
  }
  return whole;
}

}  // namespace millrace
