// Reading one safetensors file: the header as a stream of JSON events, then its layout.
#include "millrace/formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/formats/safetensors_dtype.h"

namespace millrace {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation

/// One tensor as the header describes it.
struct HeaderEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, data_offsets;
};

/// Takes the header's JSON event by event: nothing is built but the entries, duplicate keys are
/// seen, and the time is linear in the header's size. An object of objects, whose fields are a
/// string or an array of numbers; under __metadata__ all fields are strings.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(const std::string& source) : source_(source) {}

  std::vector<HeaderEntry> entries;
  SafetensorsMetadata metadata;

  bool start_object(std::size_t) override {
    if (depth_ >= 2 || array_ != nullptr) unexpected("an object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool key(string_t& text) override {
    if (depth_ == 1) {
      in_metadata_ = text == "__metadata__";
      if (!in_metadata_)
        entries.push_back({.name = text, .dtype = {}, .shape = {}, .data_offsets = {}});
      require(!in_metadata_ || !std::exchange(had_metadata_, true), "{}: has __metadata__ twice",
              source_);
    }
    field_ = text;
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ != 2 || array_ != nullptr) unexpected("a string");
    if (in_metadata_) {
      require(metadata.emplace(field_, text).second, "{}: __metadata__ has {} twice", source_,
              quote(field_));
      return true;
    }
    if (field_ != "dtype") unexpected("a string");
    set(entries.back().dtype, text);
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || array_ != nullptr) unexpected("an array");
    HeaderEntry& entry = entries.back();
    if (field_ != "shape" && field_ != "data_offsets") unexpected("an array");
    array_ = &set(field_ == "shape" ? entry.shape : entry.data_offsets, {});
    return true;
  }
  bool end_array() override {
    array_ = nullptr;
    return true;
  }
  bool number_unsigned(number_unsigned_t number) override {
    if (array_ == nullptr) unexpected("a number");
    array_->push_back(number);
    return true;
  }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a fraction"); }
  bool boolean(bool) override { unexpected("a truth value"); }
  bool null() override { unexpected("null"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail("{}: header is not valid JSON: see its byte {}", source_, position);
  }

 private:
  [[noreturn]] void unexpected(const char* what) {
    if (depth_ == 0) fail("{}: header is {}, not an object", source_, what);
    const std::string owner =
        in_metadata_ || entries.empty() ? "__metadata__" : "tensor " + quote(entries.back().name);
    if (depth_ == 1) fail("{}: {} is {}, not an object", source_, owner, what);
    fail("{}: {}: {} in field {}", source_, owner, what, quote(field_));
  }
  template <typename T>
  T& set(std::optional<T>& field, T value) {
    require(!field.has_value(), "{}: tensor {} has field {} twice", source_,
            quote(entries.back().name), quote(field_));
    return field.emplace(std::move(value));
  }

  const std::string& source_;
  int depth_ = 0;
  bool in_metadata_ = false, had_metadata_ = false;
  std::string field_;
  std::vector<uint64_t>* array_ = nullptr;
};

/// A tensor of the header, checked on its own.
struct Located {
  const HeaderEntry* entry;
  DType dtype;
  Shape shape;
  uint64_t begin, end;
};

/// Kernels over time, height and width have five extents, which no model here has a use for: the
/// first become one, so that files with such tensors can be read.
void merge_first_extents(std::vector<int64_t>& extents) {
  constexpr size_t kMost = 4, kMostStored = 8;
  if (extents.size() > kMostStored) return;
  while (extents.size() > kMost) {
    const int64_t first = extents.front();
    extents.erase(extents.begin());
    const bool fits = first == 0 || extents.front() <= (int64_t{1} << 62) / first;
    extents.front() = fits ? extents.front() * first : int64_t{1} << 62;
  }
}

Located locate(const HeaderEntry& entry, const std::string& source) {
  const std::string where = fmt::format("{}: tensor {}", source, quote(entry.name));
  require(entry.dtype.has_value(), "{} has no field 'dtype'", where);
  require(entry.shape.has_value(), "{} has no field 'shape'", where);
  require(entry.data_offsets.has_value(), "{} has no field 'data_offsets'", where);

  std::optional<DType> dtype = dtype_from_safetensors(*entry.dtype);
  require(dtype.has_value(),
          "{} has the dtype {}, which is not supported; convert it to F32 or BF16", where,
          quote(*entry.dtype));
  std::vector<int64_t> extents;
  for (uint64_t extent : *entry.shape) {
    require(extent <= uint64_t{1} << 62, "{} has the extent {} in 'shape'", where, extent);
    extents.push_back(static_cast<int64_t>(extent));
  }
  merge_first_extents(extents);
  const std::vector<uint64_t>& offsets = *entry.data_offsets;
  require(offsets.size() == 2 && offsets[0] <= offsets[1],
          "{}: 'data_offsets' must be a begin and an end that is not before it", where);
  Shape shape;
  try {
    shape = Shape(extents);
  } catch (const Error& error) {
    fail("{}: 'shape': {}", where, error.what());
  }
  auto count = static_cast<uint64_t>(shape.count());
  uint64_t width = dtype_bytes(*dtype, 1);
  uint64_t size = offsets[1] - offsets[0];
  require(size % width == 0 && size / width == count,
          "{} of shape {} and dtype {} cannot have {} bytes, as 'data_offsets' says", where, shape,
          *entry.dtype, size);
  return {&entry, *dtype, shape, offsets[0], offsets[1]};
}

/// All tensors in the order of their bytes, which must be one after another and fill `data_bytes`.
std::vector<Located> lay_out(const std::vector<HeaderEntry>& entries, uint64_t data_bytes,
                             const std::string& source) {
  std::vector<Located> tensors;
  tensors.reserve(entries.size());
  for (const HeaderEntry& entry : entries) tensors.push_back(locate(entry, source));
  std::stable_sort(tensors.begin(), tensors.end(), [](const Located& a, const Located& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const Located& tensor : tensors) {
    require(
        tensor.begin == end,
        "{}: tensor {} begins at byte {} of the data, {} the tensor before it, which ends at {}",
        source, quote(tensor.entry->name), tensor.begin,
        tensor.begin < end ? "within" : "with a gap after", end);
    end = tensor.end;
  }
  require(
      end == data_bytes, "{}: its tensors take {} bytes and {} follow the header; {}", source, end,
      data_bytes,
      end > data_bytes ? "the file is cut off, fetch it again" : "the file has bytes of no tensor");
  return tensors;
}

}  // namespace

SafetensorsFile parse_safetensors(std::span<const std::byte> bytes, const std::string& source,
                                  std::shared_ptr<const void> owner) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t header_bytes = 0;
  require(bytes.size() >= sizeof header_bytes, "{}: has {} bytes, too few for a safetensors file",
          source, bytes.size());
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes = bytes.subspan(sizeof header_bytes);
  require(header_bytes <= kMaxHeaderBytes,
          "{}: header length is {}, more than the {} allowed; is it a safetensors file?", source,
          header_bytes, kMaxHeaderBytes);
  require(header_bytes <= bytes.size(), "{}: header length is {} but only {} bytes follow", source,
          header_bytes, bytes.size());

  const char* text = reinterpret_cast<const char*>(bytes.data());
  HeaderHandler header(source);
  nlohmann::json::sax_parse(text, text + header_bytes, &header);

  bytes = bytes.subspan(header_bytes);
  SafetensorsFile file{TensorTable(source), std::move(header.metadata)};
  for (const Located& tensor : lay_out(header.entries, bytes.size(), source)) {
    file.tensors.add(tensor.entry->name,
                     borrow_tensor(tensor.dtype, tensor.shape,
                                   bytes.subspan(tensor.begin, tensor.end - tensor.begin), owner));
  }
  return file;
}

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  auto mapping = std::make_shared<const MappedFile>(path);
  SafetensorsFile file = parse_safetensors(mapping->bytes(), path.string(), mapping);
  file.tensors.add_mapping(std::move(mapping));
  return file;
}

}  // namespace millrace
