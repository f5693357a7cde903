#include "millrace/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0644)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

uint64_t regular_file_size(const Descriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    fail("{}: cannot stat: {}", path.string(), std::strerror(errno));
  }
  require(S_ISREG(status.st_mode), "{}: is not a regular file", path.string());
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  Descriptor file(path, O_RDONLY);
  size_ = regular_file_size(file, path);
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) fail("{}: cannot map: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::drop(std::span<const std::byte> part) const {
  if (part.empty()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  auto end = (reinterpret_cast<uintptr_t>(part.data()) + part.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  Descriptor file(path, O_RDONLY);
  uint64_t size = regular_file_size(file, path);
  require(size <= max_bytes, "{}: has {} bytes, more than the {} allowed here", path.string(), size,
          max_bytes);
  std::string contents(size, '\0');
  size_t done = 0;
  while (done < contents.size()) {
    ssize_t got = ::read(file.get(), contents.data() + done, contents.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("{}: cannot read: {}", path.string(), std::strerror(errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  contents.resize(done);
  return contents;
}

FileWriter::FileWriter(const std::filesystem::path& path)
    : path_(path), temporary_(path.string() + fmt::format(".{}.tmp", ::getpid())) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("{}: cannot create: {}", path.string(), std::strerror(errno));
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
    position_ += static_cast<uint64_t>(written);
  }
}

void FileWriter::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void FileWriter::commit(Durability durability) {
  const bool sync = durability == Durability::power_cut;
  if (sync && ::fsync(fd_) != 0) fail("{}: cannot sync: {}", path_.string(), std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail("{}: cannot rename into place: {}", path_.string(), std::strerror(errno));
  }
  ::close(std::exchange(fd_, -1));
  if (sync) sync_folder(path_.has_parent_path() ? path_.parent_path() : std::filesystem::path("."));
}

void write_file(const std::filesystem::path& path, std::string_view contents) {
  FileWriter file(path);
  file.write(contents);
  file.commit();
}

void make_folder(const std::filesystem::path& path) {
  std::error_code reason;
  std::filesystem::create_directories(path, reason);
  if (reason) fail("{}: cannot create the folder: {}", path.string(), reason.message());
}

void write_folder(const std::filesystem::path& path,
                  const std::function<void(const std::filesystem::path& folder)>& fill) {
  const std::filesystem::path parent =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::string name = path.filename().string();
  const std::filesystem::path temporary = parent / fmt::format(".{}.tmp", name);
  const std::filesystem::path replaced = parent / fmt::format(".{}.old", name);
  auto rename = [&](const std::filesystem::path& from, const std::filesystem::path& to) {
    std::error_code reason;
    std::filesystem::rename(from, to, reason);
    if (reason) fail("{}: cannot rename into place: {}", path.string(), reason.message());
  };
  std::error_code ignored;
  try {
    std::filesystem::remove_all(temporary, ignored);
    make_folder(temporary);
    fill(temporary);
    sync_folder(temporary);
    std::filesystem::remove_all(replaced, ignored);
    if (std::filesystem::exists(path)) rename(path, replaced);
    rename(temporary, path);
    sync_folder(parent);
    std::filesystem::remove_all(replaced, ignored);
  } catch (...) {
    std::filesystem::remove_all(temporary, ignored);
    throw;
  }
}

void sync_folder(const std::filesystem::path& path) {
  Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  if (::fsync(folder.get()) != 0 && errno != EINVAL) {
    fail("{}: cannot sync the folder: {}", path.string(), std::strerror(errno));
  }
}

}  // namespace millrace
