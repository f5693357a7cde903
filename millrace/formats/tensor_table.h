// Named tensors: as a weights file holds them, and as one is told to write them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// The tensors of one or several files in the order of the files, and by name. They borrow the
/// files' mappings (their bytes must not be written) and keep them alive.
class TensorTable {
 public:
  TensorTable() = default;
  /// `source` begins every error message.
  explicit TensorTable(std::string source) : source_(std::move(source)) {}

  /// Throws Error when the name is taken.
  void add(std::string name, Tensor tensor);
  /// Remembers a file whose mapping the tensors borrow, for drop_pages.
  void add_mapping(std::shared_ptr<const MappedFile> file);
  /// Moves all of another table to the end of this one. Throws Error when a name is taken.
  void append(TensorTable other);

  /// nullptr when there is no tensor of this name.
  const Tensor* find(std::string_view name) const;
  /// Throws Error when there is no tensor of this name.
  const Tensor& at(std::string_view name) const;

  size_t size() const { return entries_.size(); }
  std::vector<NamedTensor>::const_iterator begin() const { return entries_.begin(); }
  std::vector<NamedTensor>::const_iterator end() const { return entries_.end(); }
  const std::string& source() const { return source_; }

  /// Tells the kernel that a tensor's pages will not be read again soon, e.g. after its values
  /// were packed elsewhere. It stays readable. Does nothing for a tensor that is not of a mapping.
  void drop_pages(const Tensor& tensor) const;

 private:
  std::string source_ = "tensors";
  std::vector<NamedTensor> entries_;
  std::map<std::string, size_t, std::less<>> index_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;
};

/// A tensor to be written. `load` is called once, when its turn comes, and what it returns is
/// released before the next one's: a model need never be in memory whole, or twice.
struct TensorSource {
  TensorSource(std::string tensor_name, Tensor tensor);
  TensorSource(std::string tensor_name, DType tensor_dtype, Shape tensor_shape,
               std::function<Tensor()> loader);

  std::string name;
  DType dtype;
  Shape shape;
  std::function<Tensor()> load;

  size_t bytes() const { return dtype_bytes(dtype, static_cast<uint64_t>(shape.count())); }
};

/// Every tensor of a table as a source.
std::vector<TensorSource> sources_of(const TensorTable& table);

/// Parts of consecutive tensors, each of at most `max_bytes` or of one tensor; a single part when
/// `max_bytes` is 0. At least one part, which may be empty.
std::vector<std::span<const TensorSource>> split_by_bytes(std::span<const TensorSource> tensors,
                                                          uint64_t max_bytes);

/// Throws Error, which begins with `where`, when two sources have one name.
void require_distinct_names(std::span<const TensorSource> tensors, const std::string& where);

/// Loads a source and writes its bytes. Throws Error when it loads another dtype or shape.
void write_tensor(FileWriter& file, const TensorSource& source);

/// A tensor over `bytes` that `owner` keeps alive; a copy where the bytes are not aligned for the
/// dtype, which old files allow. Throws Error when the bytes are not exactly the tensor's.
Tensor borrow_tensor(DType dtype, const Shape& shape, std::span<const std::byte> bytes,
                     std::shared_ptr<const void> owner);

}  // namespace millrace
