#include "millrace/formats/shards.h"

#include <system_error>
#include <utility>

#include "millrace/formats/safetensors_index.h"

namespace millrace {

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

TensorTable read_shards(const std::filesystem::path& index, std::string_view ending,
                        const std::function<TensorTable(const std::filesystem::path&)>& read) {
  const std::string where = index.string();
  const std::filesystem::path folder = index.parent_path();
  TensorTable whole(where);
  for (const auto& [shard_name, tensor_names] :
       parse_safetensors_index(read_file(index, kMaxIndexBytes), where, ending)) {
    const std::filesystem::path path = folder / shard_name;
    require(is_there(path), "{}: its shard {} is missing; fetch it into {}", where,
            quote(shard_name), folder.string());
    TensorTable shard = read(path);
    for (const std::string& name : tensor_names) {
      require(shard.find(name) != nullptr, "{}: tensor {} is not in {} as the index says", where,
              quote(name), path.string());
    }
    for (const NamedTensor& entry : shard) {
      require(tensor_names.contains(entry.name), "{}: tensor {} in {} is not there by the index",
              where, quote(entry.name), path.string());
    }
    whole.append(std::move(shard));
  }
  return whole;
}

}  // namespace millrace
