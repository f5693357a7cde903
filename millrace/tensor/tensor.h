// A tensor: a dtype, a shape and bytes that are shared between views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/tensor/dtype.h"

namespace millrace {

/// Extents, outermost first, as PyTorch writes them: {out, in}. At most 4 dimensions.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);
  /// Throws Error for more than 4 dimensions, a negative extent or a product beyond 2^62.
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  /// Extent of dimension `i`; negative i counts from the last.
  int64_t operator[](int i) const { return extents_[i < 0 ? i + rank_ : i]; }
  /// Number of values; 1 for rank 0.
  int64_t count() const;
  std::span<const int64_t> extents() const { return {extents_, static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const;
  /// "[32, 64]".
  std::string text() const;

 private:
  int64_t extents_[4] = {};
  int rank_ = 0;
};

/// Where a storage's bytes live. The CPU is the first device.
enum class Device : uint8_t { cpu };

/// Bytes with an owner: memory of its own (aligned to 64), or a part of something kept alive.
class Storage {
 public:
  /// Zero-filled when `zeroed`. Throws Error when there is no memory for it.
  static std::shared_ptr<Storage> allocate(size_t bytes, bool zeroed = true);
  /// Bytes that `owner` keeps alive, e.g. a mapped file. They must not be written.
  static std::shared_ptr<Storage> borrow(std::span<const std::byte> bytes,
                                         std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  Device device() const { return Device::cpu; }
  /// Whether the bytes were allocated for this storage, not borrowed.
  bool owns_memory() const { return owned_; }

 private:
  Storage(std::byte* data, size_t size, std::shared_ptr<const void> owner, bool owned);
  std::byte* data_;
  size_t size_;
  std::shared_ptr<const void> owner_;
  bool owned_;
};

/// Contiguous values in row-major order. Copies share the bytes.
class Tensor {
 public:
  Tensor() = default;
  /// A new tensor, zero-filled unless told otherwise.
  Tensor(DType dtype, Shape shape, bool zeroed = true);
  /// A tensor over bytes that exist. Throws Error when they are too few.
  Tensor(DType dtype, Shape shape, std::shared_ptr<Storage> storage, size_t byte_offset = 0);
  /// A new f32 tensor with these values.
  static Tensor from(Shape shape, std::span<const float> values);

  bool empty() const { return storage_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return empty() ? 0 : shape_.count(); }
  size_t bytes() const { return dtype_bytes(dtype_, static_cast<uint64_t>(count())); }
  std::byte* data() const { return storage_->data() + offset_; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }

  /// The values as T, whose size must be that of the dtype.
  template <typename T>
  std::span<T> as() const {
    require(sizeof(T) == static_cast<size_t>(info(dtype_).block_bytes),
            "tensor holds {}, not {} bytes", info(dtype_).name, sizeof(T));
    return {reinterpret_cast<T*>(data()), static_cast<size_t>(count())};
  }
  /// The values of an f32 tensor. Throws Error for another dtype.
  std::span<float> f32() const {
    require(dtype_ == DType::f32, "tensor holds {}, not f32", info(dtype_).name);
    return as<float>();
  }

  /// The same bytes under another shape of the same count.
  Tensor reshaped(Shape shape) const;
  /// Rows [begin, end) of the first dimension, sharing the bytes.
  Tensor rows(int64_t begin, int64_t end) const;
  /// A copy with bytes of its own.
  Tensor clone() const;

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;
};

}  // namespace millrace

/// Shapes in messages are put into words only when a message is written.
template <>
struct fmt::formatter<millrace::Shape> : fmt::formatter<std::string> {
  auto format(const millrace::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(shape.text(), context);
  }
};
