#include "millrace/formats/tensor_table.h"

#include <cstring>
#include <set>
#include <string_view>
#include <utility>

namespace millrace {

void TensorTable::add(std::string name, Tensor tensor) {
  bool added = index_.emplace(name, entries_.size()).second;
  require(added, "{}: two tensors are named {}", source_, quote(name));
  entries_.push_back({std::move(name), std::move(tensor)});
}

void TensorTable::add_mapping(std::shared_ptr<const MappedFile> file) {
  mappings_.push_back(std::move(file));
}

void TensorTable::append(TensorTable other) {
  for (NamedTensor& entry : other.entries_) {
    require(find(entry.name) == nullptr, "{}: tensor {} is also in another file of the model",
            other.source_, quote(entry.name));
    add(std::move(entry.name), std::move(entry.tensor));
  }
  for (auto& mapping : other.mappings_) mappings_.push_back(std::move(mapping));
}

const Tensor* TensorTable::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second].tensor;
}

const Tensor& TensorTable::at(std::string_view name) const {
  const Tensor* tensor = find(name);
  require(tensor != nullptr, "{}: has no tensor {}", source_, quote(name));
  return *tensor;
}

void TensorTable::drop_pages(const Tensor& tensor) const {
  if (tensor.bytes() == 0) return;
  std::span<const std::byte> part(tensor.data(), tensor.bytes());
  for (const auto& mapping : mappings_) {
    std::span<const std::byte> whole = mapping->bytes();
    std::less_equal<const std::byte*> not_after;
    if (not_after(whole.data(), part.data()) &&
        not_after(part.data() + part.size(), whole.data() + whole.size())) {
      mapping->drop(part);
    }
  }
}

TensorSource::TensorSource(std::string tensor_name, Tensor tensor)
    : name(std::move(tensor_name)),
      dtype(tensor.dtype()),
      shape(tensor.shape()),
      load([tensor = std::move(tensor)] { return tensor; }) {}

TensorSource::TensorSource(std::string tensor_name, DType tensor_dtype, Shape tensor_shape,
                           std::function<Tensor()> loader)
    : name(std::move(tensor_name)),
      dtype(tensor_dtype),
      shape(tensor_shape),
      load(std::move(loader)) {}

std::vector<TensorSource> sources_of(const TensorTable& table) {
  std::vector<TensorSource> sources;
  sources.reserve(table.size());
  for (const NamedTensor& entry : table) sources.emplace_back(entry.name, entry.tensor);
  return sources;
}

std::vector<std::span<const TensorSource>> split_by_bytes(std::span<const TensorSource> tensors,
                                                          uint64_t max_bytes) {
  if (max_bytes == 0) return {tensors};
  std::vector<std::span<const TensorSource>> parts;
  size_t begin = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > begin && bytes + tensors[i].bytes() > max_bytes) {
      parts.push_back(tensors.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += tensors[i].bytes();
  }
  parts.push_back(tensors.subspan(begin));
  return parts;
}

void require_distinct_names(std::span<const TensorSource> tensors, const std::string& where) {
  std::set<std::string_view> names;
  for (const TensorSource& tensor : tensors) {
    require(names.insert(tensor.name).second, "{}: two tensors are named {}", where,
            quote(tensor.name));
  }
}

void write_tensor(FileWriter& file, const TensorSource& source) {
  Tensor tensor = source.load();
  require(!tensor.empty() && tensor.dtype() == source.dtype && tensor.shape() == source.shape,
          "tensor {} was announced as {} {} and is {} {}", quote(source.name),
          info(source.dtype).name, source.shape, info(tensor.dtype()).name, tensor.shape());
  file.write(std::span<const std::byte>(tensor.data(), tensor.bytes()));
}

Tensor borrow_tensor(DType dtype, const Shape& shape, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner) {
  require(shape.count() % info(dtype).block_size == 0 &&
              dtype_bytes(dtype, static_cast<uint64_t>(shape.count())) == bytes.size(),
          "a {} tensor of shape {} in {} bytes", info(dtype).name, shape, bytes.size());
  // A quantised block holds half-precision scales and is read through them or bytewise.
  const size_t alignment = is_quantized(dtype) ? 2 : static_cast<size_t>(info(dtype).block_bytes);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignment == 0) {
    return Tensor(dtype, shape, Storage::borrow(bytes, std::move(owner)));
  }
  Tensor copy(dtype, shape, false);
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace millrace
