#include "millrace/model/weight_cache.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Changes whenever packed weights lie differently in memory.
constexpr int kLayoutVersion = 2;
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
    for (const char* name : {".safetensors", ".bin", ".pt", ".pth"}) {
      if (path.extension() == name) files.push_back(path);
    }
    if (path.filename() == "config.json") files.push_back(path);
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

/// The mapped entry's matrix of one parameter, whose place is its type and offset. Throws Error
/// when the entry is damaged.
PackedMatrix read_matrix(const Json& place, const Parameter& parameter,
                         std::span<const std::byte> data, std::shared_ptr<const MappedFile> file) {
  require(place.is_array() && place.size() == 2, "no place");
  std::optional<DType> type = dtype_from_name(place[0].get<std::string>());
  const auto offset = place[1].get<uint64_t>();
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
  require(bytes.size() >= 16, "no entry");
  const std::span<const std::byte> footer = bytes.last(16);
  uint64_t length = 0;
  std::memcpy(&length, footer.data(), 8);
  require(std::memcmp(footer.data() + 8, kMagic.data(), 8) == 0, "no entry");
  require(length <= kMaxHeader && length <= bytes.size() - 16, "a cut table");
  const std::span<const std::byte> data = bytes.first(bytes.size() - 16 - length);
  std::string_view text(reinterpret_cast<const char*>(data.data()) + data.size(), length);
  Json table = parse_json(text, file->path().string());
  require(table.at("key") == key, "another model's");
  const Json& matrices = table.at("matrices");
  std::vector<PackedMatrix> packed;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.name.empty() || !parameter.is_matrix()) continue;
    packed.push_back(read_matrix(matrices.at(parameter.name), parameter, data, file));
  }
  require(packed.size() == matrices.size(), "more matrices than the model has");
  return packed;
}

/// Writes an entry: the matrices, each at a multiple of kAlignment; a table of what they are; its
/// length and the magic.
class EntryWriter {
 public:
  explicit EntryWriter(const fs::path& path) : file_(path) {}

  void add(const std::string& name, DType type, const Storage& bytes) {
    matrices_[name] = {info(type).name, file_.position()};
    file_.write({bytes.data(), bytes.size()});
    const std::vector<std::byte> padding(aligned(file_.position()) - file_.position());
    file_.write(padding);
  }
  void commit(const std::string& key) {
    const std::string table = Json{{"key", key}, {"matrices", matrices_}}.dump();
    const uint64_t length = table.size();
    file_.write(table);
    file_.write(std::as_bytes(std::span(&length, 1)));
    file_.write({kMagic.data(), kMagic.size()});
    file_.commit(Durability::until_next_boot);
  }

 private:
  FileWriter file_;
  Json matrices_ = Json::object();
};

/// What an entry will hold, shared with the model until it is written.
struct Snapshot {
  struct Matrix {
    std::string name;
    DType type;
    std::shared_ptr<const Storage> bytes;
  };
  std::string key;
  std::vector<Matrix> matrices;
  uint64_t bytes = 0;
};

/// None where the weights are too few or too many.
std::optional<Snapshot> snapshot_of(const Model& model, const std::string& key, uint64_t min_bytes,
                                    uint64_t max_bytes) {
  Snapshot snapshot{key, {}};
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.packed.bytes == nullptr) continue;
    snapshot.matrices.push_back({parameter.name, parameter.packed.type, parameter.packed.bytes});
    snapshot.bytes += parameter.packed.bytes->size();
  }
  if (snapshot.bytes <= min_bytes || snapshot.bytes > max_bytes) return std::nullopt;
  return snapshot;
}

/// Gives each matrix back as soon as it is written.
void write_entry(const fs::path& path, Snapshot snapshot) {
  EntryWriter entry(path);
  for (Snapshot::Matrix& matrix : snapshot.matrices) {
    entry.add(matrix.name, matrix.type, *matrix.bytes);
    matrix.bytes.reset();
  }
  entry.commit(snapshot.key);
}

struct Entry {
  fs::path path;
  uint64_t bytes;
  fs::file_time_type used;
};

/// Deletes what killed processes left half written.
void delete_remains(const fs::path& folder) {
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".tmp" && entry.last_write_time() < long_ago) {
      fs::remove(entry.path());
    }
  }
}

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

void keep(const fs::path& path, Snapshot snapshot, uint64_t max_bytes) {
  try {
    const fs::path folder = path.parent_path();
    make_folder(folder);
    delete_remains(folder);
    // A cache must not be what fills a disk.
    if (fs::space(folder).available / 4 < snapshot.bytes) return;
    write_entry(path, std::move(snapshot));
    limit_size(path, max_bytes);
  } catch (const std::exception&) {
    // Not kept.
  }
}

/// Lets threads that compute go first.
void give_way() {
#if defined(__linux__)
  constexpr int kNice = 10;
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice);
#endif
}

/// Threads that write entries. The process' end waits for them.
struct Writers {
  std::mutex mutex;
  std::vector<std::jthread> threads;
};

Writers& writers() {
  static Writers all;
  return all;
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
  if (path_.empty()) return;
  std::optional<Snapshot> snapshot = snapshot_of(model, key_, min_bytes, max_bytes);
  if (snapshot) keep(path_, *std::move(snapshot), max_bytes);
}

void WeightCache::save_behind(const Model& model, uint64_t min_bytes, uint64_t max_bytes) const {
  if (path_.empty()) return;
  std::optional<Snapshot> snapshot = snapshot_of(model, key_, min_bytes, max_bytes);
  if (!snapshot) return;
  try {
    Writers& all = writers();
    std::lock_guard lock(all.mutex);
    all.threads.emplace_back([path = path_, snapshot = *std::move(snapshot), max_bytes]() mutable {
      give_way();
      keep(path, std::move(snapshot), max_bytes);
    });
  } catch (const std::system_error&) {
    // No thread: not kept.
  }
}

void WeightCache::load_through(Model& model, uint64_t bytes,
                               const std::function<void(const Loaded&)>& load) const {
  make_folder(path_.parent_path());
  delete_remains(path_.parent_path());
  const uint64_t room = fs::space(path_.parent_path()).available;
  require(bytes < room,
          "the model's weights take {} MB, more than memory has, and {} has {} MB of room to keep "
          "them in; set MILLRACE_CACHE to a folder that has more",
          bytes >> 20, path_.parent_path().string(), room >> 20);
  EntryWriter entry(path_);
  load([&](Parameter& parameter) {
    if (parameter.packed.bytes == nullptr) return;
    entry.add(parameter.name, parameter.packed.type, *parameter.packed.bytes);
    parameter.packed = {};
  });
  entry.commit(key_);
  require(this->load(model), "{}: cannot be read back", path_.string());
}

void WeightCache::finish_saving() {
  Writers& all = writers();
  std::lock_guard lock(all.mutex);
  all.threads.clear();
}

}  // namespace millrace
