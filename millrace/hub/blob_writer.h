// Contents into the store's blobs, whose name is known when the last byte is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "millrace/hub/digest.h"
#include "millrace/hub/store.h"

namespace millrace::hub {

/// Without a commit nothing stays. Errors name the folder of blobs and the system's reason.
class BlobWriter {
 public:
  explicit BlobWriter(const Store& store);
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  /// The file that a model will have under `path`.
  StoredFile commit(const std::string& path);

 private:
  const Store& store_;
  std::filesystem::path path_;
  Descriptor file_;
  Digest digest_;
  uint64_t size_ = 0;
};

/// Syncs a file that is open, makes it read-only, and gives it its lasting name beside the one that
/// it has. A file of that name stays as it is.
void keep_as(const Descriptor& file, const std::filesystem::path& from,
             const std::filesystem::path& to);

}  // namespace millrace::hub
