#include "millrace/hub/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "millrace/base/error.h"

namespace millrace::hub {
namespace {

Descriptor open_file(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0) fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat status {};
  require(::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode), "{}: is not a regular file",
          path.string());
  return file;
}

/// Whether the path still is the file that was opened.
bool is_same(const Descriptor& file, const std::filesystem::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(file.get(), &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor lock_file(const std::filesystem::path& path) {
  Descriptor file = open_file(path);
  while (::flock(file.get(), LOCK_EX) != 0) {
    require(errno == EINTR, "{}: cannot lock: {}", path.string(), std::strerror(errno));
  }
  return file;
}

std::optional<Descriptor> try_lock_file(const std::filesystem::path& path) {
  Descriptor file = open_file(path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    require(errno == EWOULDBLOCK || errno == EINTR, "{}: cannot lock: {}", path.string(),
            std::strerror(errno));
    return std::nullopt;
  }
  if (!is_same(file, path)) return std::nullopt;
  return file;
}

}  // namespace millrace::hub
