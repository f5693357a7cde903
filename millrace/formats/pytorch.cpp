#include "millrace/formats/pytorch.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "millrace/formats/pickle.h"
#include "millrace/formats/stored_zip.h"

namespace millrace {
namespace {

using Entries = std::map<std::string, std::span<const std::byte>, std::less<>>;

/// "archive/" of the entry "archive/data.pkl".
std::string folder_in(const Entries& entries, const std::string& source) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const auto& [name, bytes] : entries) {
    if (!name.ends_with(kPickle)) continue;
    require(folder.empty(), "{}: has two pickles", source);
    folder = name.substr(0, name.size() - kPickle.size() + 1);
  }
  require(!folder.empty(), "{}: has no data.pkl, as a PyTorch file has", source);
  return folder;
}

void check_byte_order(const Entries& entries, const std::string& folder,
                      const std::string& source) {
  auto order = entries.find(folder + "byteorder");
  if (order == entries.end()) return;
  const std::string_view text(reinterpret_cast<const char*>(order->second.data()),
                              order->second.size());
  require(text == "little", "{}: its byte order is {}; only little is supported", source,
          quote(text));
}

Shape shape_of(const PickledTensor& tensor, const std::string& where) {
  const bool empty = std::ranges::count(tensor.shape, 0) > 0;
  // A shape without values has no storage that would bound it.
  constexpr uint64_t kMaxOfEmpty = uint64_t{1} << 20;
  uint64_t left = tensor.storage_count;
  for (int64_t extent : tensor.shape) {
    const auto size = static_cast<uint64_t>(extent);
    require(extent >= 0 && size <= (empty ? kMaxOfEmpty : left),
            "{}: has the shape [{}] in a storage of {} values", where,
            fmt::join(tensor.shape, ", "), tensor.storage_count);
    if (!empty) left /= size;
  }
  return Shape(std::span<const int64_t>(tensor.shape));
}

/// Values, all different places of the storage. Dimensions by falling stride: each step of one must
/// pass all of those within it.
void check_strides(const PickledTensor& tensor, const Shape& shape, const std::string& where) {
  require(tensor.strides.size() == tensor.shape.size(), "{}: has {} strides for {} dimensions",
          where, tensor.strides.size(), tensor.shape.size());
  if (shape.count() == 0) return;
  std::vector<size_t> order(tensor.shape.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, std::greater(), [&](size_t i) { return tensor.strides[i]; });
  uint64_t last = static_cast<uint64_t>(tensor.offset);  // the place of the last value
  uint64_t within = 1;                                   // what the inner dimensions span
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    if (tensor.shape[*i] == 1) continue;
    require(tensor.strides[*i] >= 0 && static_cast<uint64_t>(tensor.strides[*i]) >= within,
            "{}: its values overlap (strides {})", where, fmt::join(tensor.strides, ", "));
    const auto stride = static_cast<uint64_t>(tensor.strides[*i]);
    const auto steps = static_cast<uint64_t>(tensor.shape[*i]) - 1;
    require(stride <= tensor.storage_count && steps <= tensor.storage_count / stride,
            "{}: leaves its storage of {} values", where, tensor.storage_count);
    last += stride * steps;
    within = stride * (steps + 1);
  }
  require(last < tensor.storage_count, "{}: leaves its storage of {} values", where,
          tensor.storage_count);
}

bool is_contiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i > 0; --i) {
    if (tensor.shape[i - 1] != 1 && tensor.strides[i - 1] != expected) return false;
    expected *= tensor.shape[i - 1];
  }
  return true;
}

/// The values in row-major order.
Tensor gathered(const PickledTensor& tensor, const Shape& shape,
                std::span<const std::byte> storage) {
  const auto width = static_cast<size_t>(info(tensor.dtype).block_bytes);
  Tensor result(tensor.dtype, shape, false);
  std::vector<int64_t> place(tensor.shape.size(), 0);
  std::byte* out = result.data();
  for (int64_t i = 0; i < shape.count(); ++i, out += width) {
    int64_t at = tensor.offset;
    for (size_t d = 0; d < place.size(); ++d) at += place[d] * tensor.strides[d];
    std::memcpy(out, storage.data() + static_cast<size_t>(at) * width, width);
    for (size_t d = place.size(); d > 0 && ++place[d - 1] == tensor.shape[d - 1]; --d) {
      place[d - 1] = 0;
    }
  }
  return result;
}

/// One file's tensors.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& source,
         std::shared_ptr<const void> owner)
      : entries_(read_stored_zip(bytes, source)),
        source_(source),
        folder_(folder_in(entries_, source)),
        owner_(std::move(owner)),
        left_to_copy_(bytes.size()) {
    check_byte_order(entries_, folder_, source);
  }

  TensorTable read() {
    TensorTable table(source_);
    for (const PickledTensor& pickled :
         read_pickled_tensors(entries_.at(folder_ + "data.pkl"), source_)) {
      table.add(pickled.name, tensor_of(pickled));
    }
    return table;
  }

 private:
  Tensor tensor_of(const PickledTensor& pickled) {
    const std::string where = fmt::format("{}: tensor {}", source_, quote(pickled.name));
    auto storage = entries_.find(folder_ + "data/" + pickled.storage);
    require(storage != entries_.end(), "{}: its storage {} is not in the file", where,
            quote(pickled.storage));
    const auto width = static_cast<uint64_t>(info(pickled.dtype).block_bytes);
    require(pickled.storage_count <= storage->second.size() / width,
            "{}: its storage has {} bytes, too few for {} values", where, storage->second.size(),
            pickled.storage_count);
    const Shape shape = shape_of(pickled, where);
    check_strides(pickled, shape, where);
    const uint64_t bytes = static_cast<uint64_t>(shape.count()) * width;
    if (bytes == 0) return Tensor(pickled.dtype, shape);
    if (is_contiguous(pickled)) {
      const uint64_t begin = static_cast<uint64_t>(pickled.offset) * width;
      return borrow_tensor(pickled.dtype, shape, storage->second.subspan(begin, bytes), owner_);
    }
    // One storage may be many tensors': copies of it must not become more than the file.
    require(bytes <= left_to_copy_, "{}: has more transposed values than the file has bytes",
            where);
    left_to_copy_ -= bytes;
    return gathered(pickled, shape, storage->second);
  }

  Entries entries_;
  const std::string& source_;
  std::string folder_;
  std::shared_ptr<const void> owner_;
  uint64_t left_to_copy_;
};

}  // namespace

TensorTable parse_pytorch(std::span<const std::byte> bytes, const std::string& source,
                          std::shared_ptr<const void> owner) {
  return Reader(bytes, source, std::move(owner)).read();
}

TensorTable read_pytorch(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  TensorTable table = parse_pytorch(file->bytes(), path.string(), file);
  table.add_mapping(file);
  return table;
}

}  // namespace millrace
