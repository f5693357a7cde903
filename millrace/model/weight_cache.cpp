#include "millrace/model/weight_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Changes whenever packed weights lie differently in memory.
constexpr int kLayoutVersion = 1;
constexpr std::array<char, 8> kMagic = {'M', 'I', 'L', 'L', 'P', 'A', 'C', 'K'};
constexpr uint64_t kAlignment = 4096;
constexpr uint64_t kMaxHeader = uint64_t{64} << 20;

uint64_t aligned(uint64_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

/// Names this run of the operating system.
std::string boot_id() {
  const fs::path path = "/proc/sys/kernel/random/boot_id";
  return fs::exists(path) ? read_file(path) : "";
}

std::vector<fs::path> files_of(const fs::path& model) {
  if (!fs::is_directory(model)) return {model};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(model)) {
    const fs::path& path = entry.path();
    if (path.filename() == "config.json" || path.extension() == ".safetensors") {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string key_of(const fs::path& model, std::optional<DType> dtype) {
  Json files = Json::array();
  for (const fs::path& file : files_of(model)) {
    files.push_back({fs::canonical(file).string(), fs::file_size(file),
                     fs::last_write_time(file).time_since_epoch().count()});
  }
  return Json{{"layout", kLayoutVersion},
              {"dtype", dtype ? info(*dtype).name : "own"},
              {"boot", boot_id()},
              {"files", files}}
      .dump();
}

/// An entry: magic, length of the header, header; then the matrices, at multiples of kAlignment
/// from the first such place behind the header.
Json header_of(const Model& model, const std::string& key) {
  Json matrices = Json::array();
  uint64_t offset = 0;
  for (const Parameter& parameter : model.parameters()) {
    const PackedMatrix& packed = parameter.packed;
    if (packed.bytes == nullptr) continue;
    matrices.push_back({parameter.name, info(packed.type).name, offset});
    offset += aligned(packed.bytes->size());
  }
  return {{"key", key}, {"matrices", matrices}};
}

/// The mapped entry's matrix of one parameter. Throws Error when the entry is damaged.
PackedMatrix read_matrix(const Json& place, const Parameter& parameter,
                         std::span<const std::byte> data, std::shared_ptr<const MappedFile> file) {
  require(place.is_array() && place.size() == 3 && place[0] == parameter.name, "another matrix");
  std::optional<DType> type = dtype_from_name(place[1].get<std::string>());
  const auto offset = place[2].get<uint64_t>();
  require(type.has_value(), "an unknown type");
  PackedMatrix packed{*type, parameter.shape[0], parameter.shape[1], nullptr};
  const uint64_t bytes = packed_bytes(packed.type, packed.n, packed.k);
  require(offset % kAlignment == 0 && offset <= data.size() && bytes <= data.size() - offset,
          "a matrix beyond the end");
  packed.bytes = Storage::borrow(data.subspan(offset, bytes), std::move(file));
  return packed;
}

std::vector<PackedMatrix> read_entry(const std::shared_ptr<const MappedFile>& file,
                                     const std::string& key, const Model& model) {
  std::span<const std::byte> bytes = file->bytes();
  uint64_t length = 0;
  require(bytes.size() >= 16 && std::memcmp(bytes.data(), kMagic.data(), 8) == 0, "no entry");
  std::memcpy(&length, bytes.data() + 8, 8);
  require(length <= kMaxHeader && length <= bytes.size() - 16, "a cut header");
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 16, length);
  Json header = parse_json(text, file->path().string());
  require(header.at("key") == key, "another model's");
  const Json& matrices = header.at("matrices");
  const uint64_t begin = std::min<uint64_t>(aligned(16 + length), bytes.size());
  std::vector<PackedMatrix> packed;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.name.empty() || !parameter.is_matrix()) continue;
    packed.push_back(
        read_matrix(matrices.at(packed.size()), parameter, bytes.subspan(begin), file));
  }
  require(packed.size() == matrices.size(), "more matrices than the model has");
  return packed;
}

void write_entry(const fs::path& path, const std::string& key, const Model& model) {
  make_folder(path.parent_path());
  const std::string header = header_of(model, key).dump();
  const uint64_t length = header.size();
  FileWriter file(path);
  file.write({kMagic.data(), kMagic.size()});
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  const std::vector<std::byte> padding(kAlignment);
  auto pad = [&] {
    file.write(std::span(padding).first(aligned(file.position()) - file.position()));
  };
  pad();
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.packed.bytes == nullptr) continue;
    file.write({parameter.packed.bytes->data(), parameter.packed.bytes->size()});
    pad();
  }
  file.commit(Durability::until_next_boot);
}

bool lies_in(const Storage& storage, std::span<const std::byte> bytes) {
  const std::less_equal<const std::byte*> not_after;
  return !bytes.empty() && not_after(bytes.data(), storage.data()) &&
         not_after(storage.data(), bytes.data() + bytes.size() - 1);
}

struct Entry {
  fs::path path;
  uint64_t bytes;
  fs::file_time_type used;
};

/// Deletes the entries used longest ago, but never `newest`, until all take at most `max_bytes`.
void limit_size(const fs::path& newest, uint64_t max_bytes) {
  std::vector<Entry> entries;
  uint64_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(newest.parent_path())) {
    if (entry.path().extension() != newest.extension()) continue;
    entries.push_back({entry.path(), entry.file_size(), entry.last_write_time()});
    total += entries.back().bytes;
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= max_bytes || entry.path == newest) continue;
    fs::remove(entry.path);
    total -= entry.bytes;
  }
}

}  // namespace

fs::path default_weight_cache() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (!variable("MILLRACE_CACHE").empty()) return fs::path(variable("MILLRACE_CACHE")) / "packed";
  if (!variable("XDG_CACHE_HOME").empty()) {
    return fs::path(variable("XDG_CACHE_HOME")) / "millrace/packed";
  }
  if (variable("HOME").empty()) return {};
  return fs::path(variable("HOME")) / ".cache/millrace/packed";
}

WeightCache::WeightCache(const fs::path& folder, const fs::path& model,
                         std::optional<DType> dtype) {
  if (folder.empty() || !fs::exists(model)) return;
  key_ = key_of(model, dtype);
  path_ = folder / fmt::format("{:016x}.packed", XXH3_64bits(key_.data(), key_.size()));
}

bool WeightCache::load(Model& model) const {
  if (path_.empty() || !fs::exists(path_)) return false;
  try {
    auto file = std::make_shared<const MappedFile>(path_);
    std::vector<PackedMatrix> packed = read_entry(file, key_, model);
    size_t next = 0;
    for (Parameter& parameter : model.parameters()) {
      if (!parameter.name.empty() && parameter.is_matrix()) {
        parameter.packed = std::move(packed[next++]);
      }
    }
    model.set_mapped_weights(std::move(file));
    std::error_code ignored;
    fs::last_write_time(path_, fs::file_time_type::clock::now(), ignored);  // used now
    return true;
  } catch (const std::exception&) {
    return false;  // damaged or another's: it will be written anew
  }
}

void WeightCache::save(const Model& model, uint64_t min_bytes, uint64_t max_bytes) const {
  uint64_t bytes = 0;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.packed.bytes != nullptr) bytes += parameter.packed.bytes->size();
  }
  if (path_.empty() || bytes <= min_bytes || bytes > max_bytes) return;
  try {
    make_folder(path_.parent_path());
    // A cache must not be what fills a disk.
    if (fs::space(path_.parent_path()).available / 4 < bytes) return;
    write_entry(path_, key_, model);
    limit_size(path_, max_bytes);
  } catch (const std::exception&) {
    // Not kept.
  }
}

bool settle_weights(Model& model, size_t bytes) {
  const std::span<const std::byte> mapped =
      model.mapped_weights() ? model.mapped_weights()->bytes() : std::span<const std::byte>();
  std::vector<Parameter*> moved;
  size_t total = 0;
  for (Parameter& parameter : model.parameters()) {
    const std::shared_ptr<Storage>& storage = parameter.packed.bytes;
    if (storage == nullptr || !parameter.value.empty() || total >= bytes) continue;
    if (!storage->owns_memory() && !lies_in(*storage, mapped)) continue;  // settled
    moved.push_back(&parameter);
    total += aligned(storage->size());
  }
  if (moved.empty()) {
    model.set_mapped_weights(nullptr);
    return false;
  }
  auto room = Storage::allocate(total, false);
  size_t at = 0;
  for (Parameter* parameter : moved) {
    const std::span<std::byte> from(parameter->packed.bytes->data(),
                                    parameter->packed.bytes->size());
    const std::span<std::byte> to(room->data() + at, from.size());
    constexpr int64_t kPart = 1 << 20;
    parallel_ranges(static_cast<int64_t>(from.size()), kPart, [&](int64_t begin, int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<size_t>(end - begin));
    });
    if (lies_in(*parameter->packed.bytes, mapped)) model.mapped_weights()->drop(from);
    parameter->packed.bytes = Storage::borrow(to, room);
    at += aligned(from.size());
  }
  return true;
}

}  // namespace millrace
