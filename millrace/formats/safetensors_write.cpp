// Writing safetensors: one file, or a folder of shards and their index.
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/formats/safetensors.h"
#include "millrace/formats/safetensors_dtype.h"

namespace millrace {
namespace {

constexpr uint64_t kDataAlignment = 64;

/// In the order of the file: wide dtypes first. As every tensor is a whole number of its own
/// dtype's width, each begins at a multiple of it.
std::vector<const TensorSource*> by_width(std::span<const TensorSource> tensors) {
  std::vector<const TensorSource*> order;
  for (const TensorSource& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const TensorSource* a, const TensorSource* b) {
    return info(a->dtype).block_bytes > info(b->dtype).block_bytes;
  });
  return order;
}

/// The header, padded so that with the eight bytes of its length before it the data is aligned.
std::string header_text(const std::vector<const TensorSource*>& tensors,
                        const SafetensorsMetadata& metadata, const std::string& where) {
  Json header = Json::object();
  header["__metadata__"] = metadata;
  uint64_t begin = 0;
  for (const TensorSource* tensor : tensors) {
    require(tensor->name != "__metadata__", "{}: no tensor may be named '__metadata__'", where);
    std::optional<std::string_view> dtype = safetensors_name(tensor->dtype);
    require(dtype.has_value(), "{}: tensor {}: safetensors cannot hold {}; write GGUF", where,
            quote(tensor->name), info(tensor->dtype).name);
    uint64_t end = begin + tensor->bytes();
    header[tensor->name] = {
        {"dtype", *dtype}, {"shape", tensor->shape.extents()}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = to_json_text(header);
  uint64_t length = sizeof(uint64_t) + text.size();
  text.append((kDataAlignment - length % kDataAlignment) % kDataAlignment, ' ');
  return text;
}

/// Whether a file name is one that write_safetensors_folder gives.
bool is_weights_name(std::string name) {
  for (char& c : name) {
    if (c >= '0' && c <= '9') c = '0';
  }
  return name == "model.safetensors" || name == "model.safetensors.index.json" ||
         name == "model-00000-of-00000.safetensors";
}

/// Removes weights of an earlier write that are not among `kept`.
void remove_stale_weights(const std::filesystem::path& folder, const std::set<std::string>& kept) {
  try {
    std::vector<std::filesystem::path> stale;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::string name = entry.path().filename().string();
      if (is_weights_name(name) && !kept.contains(name)) stale.push_back(entry.path());
    }
    for (const std::filesystem::path& path : stale) std::filesystem::remove(path);
  } catch (const std::filesystem::filesystem_error& error) {
    fail("{}: cannot remove the weights that were there before: {}", folder.string(),
         error.code().message());
  }
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                       const SafetensorsMetadata& metadata) {
  require_distinct_names(tensors, path.string());
  std::vector<const TensorSource*> order = by_width(tensors);
  std::string header = header_text(order, metadata, path.string());
  uint64_t length = header.size();
  FileWriter file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorSource* tensor : order) write_tensor(file, *tensor);
  file.commit();
}

void write_safetensors_folder(const std::filesystem::path& folder,
                              std::span<const TensorSource> tensors, SafetensorsMetadata metadata,
                              uint64_t max_shard_bytes) {
  require_distinct_names(tensors, folder.string());
  make_folder(folder);
  metadata.emplace("format", "pt");
  std::vector<std::span<const TensorSource>> parts = split_by_bytes(tensors, max_shard_bytes);
  if (parts.size() == 1) {
    write_safetensors(folder / "model.safetensors", tensors, metadata);
    remove_stale_weights(folder, {"model.safetensors"});
    return;
  }
  Json weight_map = Json::object();
  std::set<std::string> kept = {"model.safetensors.index.json"};
  uint64_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size());
    write_safetensors(folder / name, parts[i], metadata);
    kept.insert(name);
    for (const TensorSource& tensor : parts[i]) {
      weight_map[tensor.name] = name;
      total += tensor.bytes();
    }
  }
  Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", std::move(weight_map)}};
  write_file(folder / "model.safetensors.index.json", to_json_text(index, 2) + "\n");
  remove_stale_weights(folder, kept);
}

}  // namespace millrace
