#include "millrace/hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/hub/blob_writer.h"

namespace millrace::hub {
namespace {

constexpr uint64_t kCheckpointBytes = uint64_t{16} << 20;

std::vector<PartialFile::Part> parts_of(uint64_t size, uint64_t part_bytes) {
  std::vector<PartialFile::Part> parts;
  for (uint64_t begin = 0; begin < size; begin += part_bytes) {
    parts.push_back({begin, std::min(size, begin + part_bytes), 0});
  }
  return parts;
}

void reserve(const Descriptor& file, uint64_t size, const std::filesystem::path& path) {
  const auto length = static_cast<off_t>(size);
  if (::ftruncate(file.get(), length) == 0) {
    if (size == 0) return;
#if defined(__linux__)
    // Not every file system can reserve; there a full disk shows when it is written.
    if (::fallocate(file.get(), 0, 0, length) == 0 || errno == EOPNOTSUPP) return;
#else
    return;
#endif
  }
  fail("{}: no room for its {} bytes: {}; free some, or let MILLRACE_HOME be on another disk",
       path.string(), size, std::strerror(errno));
}

}  // namespace

std::unique_ptr<PartialFile> PartialFile::open(const std::filesystem::path& path) {
  std::optional<Descriptor> file = try_lock_file(path);
  if (!file) return nullptr;
  return std::unique_ptr<PartialFile>(new PartialFile(*std::move(file), path));
}

PartialFile::~PartialFile() {
  if (!live_) return;
  try {
    if (done() == 0) {
      discard();
    } else {
      checkpoint();
    }
  } catch (const std::exception&) {
    // The next process begins where the last journal says.
  }
}

std::filesystem::path PartialFile::journal() const {
  return std::filesystem::path(path_).replace_extension(".parts");
}

void PartialFile::start(uint64_t size, const std::string& identity, uint64_t part_bytes) {
  size_ = size;
  identity_ = identity;
  part_bytes_ = std::max<uint64_t>(part_bytes, 1);
  resumed_ = take_up_journal();
  reserve(file_, size_, path_);
  if (!resumed_) start_anew();
  unsynced_.assign(parts_.size(), 0);
}

void PartialFile::start_anew() {
  parts_ = parts_of(size_, part_bytes_);
  unsynced_.assign(parts_.size(), 0);
  resumed_ = false;
}

bool PartialFile::take_up_journal() {
  std::error_code ignored;
  if (!std::filesystem::exists(journal(), ignored)) return false;
  try {
    const std::string source = journal().string();
    const Json json = read_json(journal());
    if (json_field<std::string>(json, "identity", source) != identity_ ||
        json_field<uint64_t>(json, "size", source) != size_ ||
        std::filesystem::file_size(path_) != size_) {
      return false;
    }
    const auto part_bytes = json_field<uint64_t>(json, "part_bytes", source);
    const Json done = json.at("done");
    if (part_bytes == 0 || (size_ + part_bytes - 1) / part_bytes != done.size()) return false;
    std::vector<Part> parts = parts_of(size_, part_bytes);
    for (size_t i = 0; i < parts.size(); ++i) {
      parts[i].done = done.at(i).get<uint64_t>();
      if (parts[i].done > parts[i].end - parts[i].begin) return false;
    }
    part_bytes_ = part_bytes;
    parts_ = std::move(parts);
    return this->done() > 0;
  } catch (const std::exception&) {
    return false;  // not ours: begin anew
  }
}

std::vector<PartialFile::Part> PartialFile::parts() const {
  const std::lock_guard lock(parts_mutex_);
  return parts_;
}

PartialFile::Part PartialFile::part(size_t i) const {
  const std::lock_guard lock(parts_mutex_);
  return parts_[i];
}

uint64_t PartialFile::done() const {
  uint64_t sum = 0;
  for (const Part& part : parts()) sum += part.done;
  return sum;
}

void PartialFile::write(size_t index, std::span<const std::byte> bytes) {
  Part now = part(index);
  require(bytes.size() <= now.end - now.begin - now.done, "{}: more bytes than its part {} has",
          path_.string(), index);
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(now.begin + now.done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
    now.done += static_cast<uint64_t>(written);
    unsynced_[index] += static_cast<uint64_t>(written);
  }
  {
    const std::lock_guard lock(parts_mutex_);
    parts_[index].done = now.done;
  }
  if (unsynced_[index] < kCheckpointBytes) return;
  unsynced_[index] = 0;
  checkpoint();
}

void PartialFile::restart(size_t part) {
  const std::lock_guard lock(parts_mutex_);
  parts_[part].done = 0;
}

void PartialFile::checkpoint() {
  const std::lock_guard lock(journal_mutex_);
  Json done = Json::array();
  for (const Part& part : parts()) done.push_back(part.done);
  // What others write meanwhile is not told of: the journal tells of no more than is there.
  if (::fdatasync(file_.get()) != 0) {
    fail("{}: cannot sync: {}", path_.string(), std::strerror(errno));
  }
  const Json json = {
      {"identity", identity_}, {"size", size_}, {"part_bytes", part_bytes_}, {"done", done}};
  write_file(journal(), to_json_text(json));
}

void PartialFile::commit(const std::filesystem::path& path) {
  keep_as(file_, path_, path);
  discard();
}

void PartialFile::discard() {
  ::unlink(path_.c_str());
  ::unlink(journal().c_str());
  live_ = false;
}

}  // namespace millrace::hub
