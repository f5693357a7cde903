// Reading GGUF: header, metadata, tensor descriptions, and where their bytes lie.
#include "millrace/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "millrace/formats/gguf_dtype.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kDefaultAlignment = 32;
constexpr int kMaxArrayDepth = 8;
// The least that each takes in a file; counts are checked against them before memory is reserved.
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

/// Reads forward through bytes; running out is an Error that names what was being read.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  template <typename T>
  T number(std::string_view what) {
    T value;
    std::span<const std::byte> part = take(sizeof value, what);
    std::memcpy(&value, part.data(), sizeof value);
    return value;
  }

  std::string string(std::string_view what, uint64_t max_bytes) {
    auto length = number<uint64_t>(what);
    require(length <= max_bytes, "{}: {}: a string of {} bytes", source_, what, length);
    std::span<const std::byte> part = take(length, what);
    return std::string(reinterpret_cast<const char*>(part.data()), part.size());
  }

  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    require(count <= remaining(),
            "{}: {}: needs {} bytes and {} are left; the file is cut off or "
            "damaged",
            source_, what, count, remaining());
    std::span<const std::byte> part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }

  uint64_t remaining() const { return bytes_.size() - position_; }
  uint64_t position() const { return position_; }
  const std::string& source() const { return source_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& source_;
  uint64_t position_ = 0;
};

/// A value whose type is alternative `I` of GgufValue or a later one.
template <size_t I = 0>
GgufValue read_value(Cursor& cursor, uint32_t type, const std::string& what);

GgufArray read_array(Cursor& cursor, const std::string& what, int depth);

template <typename T>
T read_plain(Cursor& cursor, const std::string& what) {
  if constexpr (std::is_same_v<T, std::string>) {
    return cursor.string(what, std::numeric_limits<uint64_t>::max());
  } else if constexpr (std::is_same_v<T, bool>) {
    auto value = cursor.number<uint8_t>(what);
    require(value <= 1, "{}: {}: a truth value of {}", cursor.source(), what, value);
    return value == 1;
  } else {
    return cursor.number<T>(what);
  }
}

template <size_t I>
GgufValue read_value(Cursor& cursor, uint32_t type, const std::string& what) {
  if constexpr (I == std::variant_size_v<GgufValue>) {
    fail("{}: {}: has the unknown value type {}", cursor.source(), what, type);
  } else {
    if (type != I) return read_value<I + 1>(cursor, type, what);
    using T = std::variant_alternative_t<I, GgufValue>;
    if constexpr (std::is_same_v<T, GgufArray>) {
      return read_array(cursor, what, 1);
    } else {
      return read_plain<T>(cursor, what);
    }
  }
}

/// The elements of an array of type number `I` or a later one.
template <size_t I = 0>
GgufArray read_elements(Cursor& cursor, uint32_t type, uint64_t count, const std::string& what,
                        int depth) {
  if constexpr (I == std::variant_size_v<GgufValue>) {
    fail("{}: {}: is an array of the unknown type {}", cursor.source(), what, type);
  } else {
    if (type != I) return read_elements<I + 1>(cursor, type, count, what, depth);
    using T = std::variant_alternative_t<I, GgufValue>;
    constexpr bool is_string = std::is_same_v<T, std::string>;
    constexpr bool is_array = std::is_same_v<T, GgufArray>;
    constexpr uint64_t least = is_string ? 8 : is_array ? 4 + 8 : sizeof(T);
    require(count <= cursor.remaining() / least,
            "{}: {}: an array of {} elements and {} bytes are left; the file is cut off or damaged",
            cursor.source(), what, count, cursor.remaining());
    std::vector<T> values;
    values.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      if constexpr (is_array) {
        values.push_back(read_array(cursor, what, depth + 1));
      } else {
        values.push_back(read_plain<T>(cursor, what));
      }
    }
    return GgufArray{std::move(values)};
  }
}

GgufArray read_array(Cursor& cursor, const std::string& what, int depth) {
  require(depth <= kMaxArrayDepth, "{}: {}: arrays are nested deeper than {}", cursor.source(),
          what, kMaxArrayDepth);
  auto type = cursor.number<uint32_t>(what);
  auto count = cursor.number<uint64_t>(what);
  return read_elements(cursor, type, count, what, depth);
}

void check_count(const Cursor& cursor, const char* what, uint64_t count, uint64_t least_bytes) {
  require(count <= cursor.remaining() / least_bytes,
          "{}: {} is {}, more than {} bytes can hold; the file is cut off or damaged",
          cursor.source(), what, count, cursor.remaining());
}

GgufMetadata read_metadata(Cursor& cursor, uint64_t count) {
  GgufMetadata metadata(cursor.source());
  for (uint64_t i = 0; i < count; ++i) {
    std::string key =
        cursor.string(fmt::format("metadata key {} of {}", i + 1, count), kMaxKeyBytes);
    const std::string what = "key " + quote(key);
    require(!metadata.has(key), "{}: {}: is there twice", cursor.source(), what);
    auto type = cursor.number<uint32_t>(what);
    metadata.set(std::move(key), read_value(cursor, type, what));
  }
  return metadata;
}

/// One tensor as the file describes it. `offset` counts from the begin of the data.
struct Description {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t offset, bytes;
};

Description read_description(Cursor& cursor, uint64_t index, uint64_t count) {
  std::string name =
      cursor.string(fmt::format("name of tensor {} of {}", index + 1, count), kMaxKeyBytes);
  const std::string what = "tensor " + quote(name);
  auto rank = cursor.number<uint32_t>(what);
  require(rank <= 4, "{}: {}: has {} dimensions; at most 4 are supported", cursor.source(), what,
          rank);
  int64_t extents[4] = {};
  for (uint32_t i = 0; i < rank; ++i) extents[rank - 1 - i] = cursor.number<int64_t>(what);
  auto number = cursor.number<uint32_t>(what);
  std::optional<DType> dtype = dtype_from_ggml(number);
  require(dtype.has_value(), "{}: {}: has the ggml type {}, which is not supported",
          cursor.source(), what, number);
  auto offset = cursor.number<uint64_t>(what);
  Shape shape;
  try {
    shape = Shape(std::span<const int64_t>(extents, rank));
  } catch (const Error& error) {
    fail("{}: {}: {}", cursor.source(), what, error.what());
  }
  int64_t row = rank == 0 ? 1 : shape[-1];
  require(row % info(*dtype).block_size == 0,
          "{}: {}: rows of {} values do not fill {} blocks of {}", cursor.source(), what, row,
          info(*dtype).name, info(*dtype).block_size);
  auto values = static_cast<uint64_t>(shape.count());
  require(values <= std::numeric_limits<uint64_t>::max() / 8, "{}: {}: is too large",
          cursor.source(), what);
  return {std::move(name), *dtype, shape, offset, dtype_bytes(*dtype, values)};
}

/// Throws Error unless each tensor begins at a multiple of `alignment` and lies within the data,
/// and none overlaps another.
void check_layout(std::vector<Description> tensors, uint64_t data_bytes, uint64_t alignment,
                  const std::string& source) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const Description& a, const Description& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  uint64_t end = 0;
  for (const Description& tensor : tensors) {
    const std::string where = fmt::format("{}: tensor {}", source, quote(tensor.name));
    require(tensor.offset % alignment == 0, "{}: its offset {} is not a multiple of {}", where,
            tensor.offset, alignment);
    require(tensor.offset <= data_bytes && tensor.bytes <= data_bytes - tensor.offset,
            "{}: {} bytes at offset {} go beyond the {} bytes of data; the file is cut off or "
            "damaged",
            where, tensor.bytes, tensor.offset, data_bytes);
    require(tensor.offset >= end, "{}: its offset {} is within the tensor before it", where,
            tensor.offset);
    end = tensor.offset + tensor.bytes;
  }
}

uint64_t read_alignment(const GgufMetadata& metadata) {
  uint64_t alignment =
      metadata.get_optional<uint32_t>("general.alignment").value_or(kDefaultAlignment);
  require(std::has_single_bit(alignment), "{}: key 'general.alignment' is {}, not a power of 2",
          metadata.source(), alignment);
  return alignment;
}

uint32_t read_version(Cursor& cursor) {
  std::span<const std::byte> magic = cursor.take(4, "magic");
  require(std::memcmp(magic.data(), "GGUF", 4) == 0,
          "{}: does not begin with 'GGUF'; it is not a "
          "GGUF file",
          cursor.source());
  auto version = cursor.number<uint32_t>("version");
  require((version & 0xffffu) != 0 || version == 0,
          "{}: is a big-endian GGUF file, which is not supported; convert it to little-endian",
          cursor.source());
  require(version == 2 || version == 3, "{}: has GGUF version {}; 2 and 3 are supported",
          cursor.source(), version);
  return version;
}

}  // namespace

GgufFile parse_gguf(std::span<const std::byte> bytes, const std::string& source,
                    std::shared_ptr<const void> owner) {
  Cursor cursor(bytes, source);
  uint32_t version = read_version(cursor);
  auto num_tensors = cursor.number<uint64_t>("tensor count");
  auto num_pairs = cursor.number<uint64_t>("metadata count");
  check_count(cursor, "metadata count", num_pairs, kMinPairBytes);
  GgufMetadata metadata = read_metadata(cursor, num_pairs);
  const uint64_t alignment = read_alignment(metadata);

  check_count(cursor, "tensor count", num_tensors, kMinTensorBytes);
  std::vector<Description> tensors;
  tensors.reserve(num_tensors);
  for (uint64_t i = 0; i < num_tensors; ++i) {
    tensors.push_back(read_description(cursor, i, num_tensors));
  }
  uint64_t padding = (alignment - cursor.position() % alignment) % alignment;
  std::span<const std::byte> data =
      bytes.subspan(cursor.position() + std::min(padding, cursor.remaining()));
  check_layout(tensors, data.size(), alignment, source);

  GgufFile file{version, std::move(metadata), TensorTable(source)};
  for (Description& tensor : tensors) {
    file.tensors.add(std::move(tensor.name),
                     borrow_tensor(tensor.dtype, tensor.shape,
                                   data.subspan(tensor.offset, tensor.bytes), owner));
  }
  return file;
}

}  // namespace millrace
