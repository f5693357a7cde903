// Files that are here already into the store: of a folder, a .gguf file, or an archive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "millrace/hub/selection.h"
#include "millrace/hub/store.h"

namespace millrace::hub {

struct ImportOptions {
  Patterns patterns;
  std::function<bool()> stop;
  std::function<void(uint64_t done, uint64_t total)> on_progress;
  uint64_t max_unpacked = 0;  ///< of an archive; 0: 200 times its size and a GB
};

/// Copies what select_files takes of a folder. Throws Error for a link that leaves it.
std::vector<StoredFile> import_folder(const Store& store, const std::filesystem::path& folder,
                                      const ImportOptions& options);

/// Copies one file; its path is `name`.
StoredFile import_file(const Store& store, const std::filesystem::path& file,
                       const std::string& name, const ImportOptions& options);

/// Unpacks .tar, .tar.gz, .tar.zst or .zip, of which select_files takes its part. A folder that
/// everything is in is left out of the paths. Nothing is ever written where the archive says:
/// contents go to blobs. Throws Error for a damaged archive, for links, devices and paths that
/// leave the folder, and for one that grows beyond all measure.
std::vector<StoredFile> import_archive(const Store& store, const std::filesystem::path& archive,
                                       const ImportOptions& options);

}  // namespace millrace::hub
