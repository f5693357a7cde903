#include "millrace/formats/stored_zip.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "millrace/base/error.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kEnd = 0x06054b50, kEnd64Locator = 0x07064b50, kEnd64 = 0x06064b50,
                   kDirectoryEntry = 0x02014b50, kLocalEntry = 0x04034b50;
constexpr size_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kDirectoryEntryBytes = 46,
                 kLocalEntryBytes = 30;

/// Reads integers, each within the bytes or else an Error.
class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  template <typename T>
  T get(uint64_t at) const {
    T value;
    const auto part = slice(at, sizeof(T));
    std::memcpy(&value, part.data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> slice(uint64_t at, uint64_t size) const {
    require(at <= bytes_.size() && size <= bytes_.size() - at, "{}: its zip archive is damaged",
            source_);
    return bytes_.subspan(at, size);
  }
  uint64_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& source_;
};

struct Directory {
  uint64_t entries, offset;
};

/// Where the record at the archive's end is; a comment may follow it.
std::optional<uint64_t> find_end(const Bytes& bytes) {
  constexpr uint64_t kMaxComment = 65535;
  if (bytes.size() < kEndBytes) return std::nullopt;
  const uint64_t last = bytes.size() - kEndBytes;
  for (uint64_t back = 0; back <= std::min(last, kMaxComment); ++back) {
    if (bytes.get<uint32_t>(last - back) == kEnd) return last - back;
  }
  return std::nullopt;
}

Directory directory_of(const Bytes& bytes, const std::string& source) {
  const std::optional<uint64_t> end = find_end(bytes);
  require(end.has_value(),
          "{}: is no PyTorch file of the present form (a zip archive); if it is of the old one, "
          "load it with PyTorch and save it again",
          source);
  const bool has_64 =
      *end >= kLocatorBytes && bytes.get<uint32_t>(*end - kLocatorBytes) == kEnd64Locator;
  if (!has_64) return {bytes.get<uint16_t>(*end + 10), bytes.get<uint32_t>(*end + 16)};
  const auto record = bytes.get<uint64_t>(*end - kLocatorBytes + 8);
  bytes.slice(record, kEnd64Bytes);
  require(bytes.get<uint32_t>(record) == kEnd64, "{}: its zip archive is damaged", source);
  return {bytes.get<uint64_t>(record + 32), bytes.get<uint64_t>(record + 48)};
}

/// A 32-bit field, or the next 64-bit one of the extra field that stands for it.
uint64_t wide(uint32_t field, const Bytes& extra, uint64_t& at) {
  if (field != UINT32_MAX) return field;
  const auto value = extra.get<uint64_t>(at);
  at += sizeof value;
  return value;
}

/// The part of the extra fields that holds 64-bit sizes; empty: there is none.
std::span<const std::byte> wide_fields(const Bytes& extra) {
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    const auto size = extra.get<uint16_t>(at + 2);
    if (extra.get<uint16_t>(at) == 1) return extra.slice(at + 4, size);
    at += 4 + uint64_t{size};
  }
  return {};
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::map<std::string, std::span<const std::byte>, std::less<>> read_stored_zip(
    std::span<const std::byte> all, const std::string& source) {
  const Bytes bytes(all, source);
  const Directory directory = directory_of(bytes, source);
  std::map<std::string, std::span<const std::byte>, std::less<>> entries;
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    bytes.slice(at, kDirectoryEntryBytes);
    require(bytes.get<uint32_t>(at) == kDirectoryEntry, "{}: its zip directory is damaged", source);
    const auto name_size = bytes.get<uint16_t>(at + 28), extra_size = bytes.get<uint16_t>(at + 30);
    const std::string name(text_of(bytes.slice(at + kDirectoryEntryBytes, name_size)));
    const Bytes extra(bytes.slice(at + kDirectoryEntryBytes + name_size, extra_size), source);
    const Bytes wide_ones(wide_fields(extra), source);
    uint64_t next = 0;
    const uint64_t size = wide(bytes.get<uint32_t>(at + 24), wide_ones, next);
    const uint64_t packed = wide(bytes.get<uint32_t>(at + 20), wide_ones, next);
    const uint64_t local = wide(bytes.get<uint32_t>(at + 42), wide_ones, next);
    require(bytes.get<uint16_t>(at + 10) == 0 && (bytes.get<uint16_t>(at + 8) & 1) == 0 &&
                size == packed,
            "{}: the entry {} is compressed or encrypted, as no PyTorch file's is", source,
            quote(name));
    bytes.slice(local, kLocalEntryBytes);
    require(bytes.get<uint32_t>(local) == kLocalEntry, "{}: the entry {} is not where it should be",
            source, quote(name));
    const uint64_t data = local + kLocalEntryBytes + bytes.get<uint16_t>(local + 26) +
                          bytes.get<uint16_t>(local + 28);
    require(entries.emplace(name, bytes.slice(data, size)).second, "{}: two entries are named {}",
            source, quote(name));
    at += kDirectoryEntryBytes + name_size + extra_size + bytes.get<uint16_t>(at + 32);
  }
  return entries;
}

}  // namespace millrace
