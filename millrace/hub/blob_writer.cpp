#include "millrace/hub/blob_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "millrace/base/file.h"

namespace millrace::hub {
namespace {

std::filesystem::path temporary_in(const std::filesystem::path& folder) {
  static std::atomic<int> count = 0;
  return folder / fmt::format("import-{}-{}.partial", ::getpid(), count++);
}

}  // namespace

BlobWriter::BlobWriter(const Store& store)
    : store_(store), path_(temporary_in(store.blobs())), file_(lock_file(path_)) {
  if (::ftruncate(file_.get(), 0) != 0) {
    fail("{}: cannot empty: {}", path_.string(), std::strerror(errno));
  }
}

BlobWriter::~BlobWriter() {
  ::unlink(path_.c_str());
}

void BlobWriter::write(std::span<const std::byte> bytes) {
  digest_.add(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

StoredFile BlobWriter::commit(const std::string& path) {
  const std::string sha256 = digest_.hex();
  if (!store_.has(sha256, size_)) keep_as(file_, path_, store_.blob(sha256));
  return {path, size_, sha256, ""};
}

void keep_as(const Descriptor& file, const std::filesystem::path& from,
             const std::filesystem::path& to) {
  ::fchmod(file.get(), 0444);
  if (::fsync(file.get()) != 0) fail("{}: cannot sync: {}", from.string(), std::strerror(errno));
  if (::link(from.c_str(), to.c_str()) != 0 && errno != EEXIST) {
    fail("{}: cannot link to {}: {}; MILLRACE_HOME must be on a file system with hard links",
         to.string(), from.string(), std::strerror(errno));
  }
  sync_folder(to.parent_path());
}

}  // namespace millrace::hub
