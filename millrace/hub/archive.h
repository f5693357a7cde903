// Archives read entry by entry, by libarchive: tar (plain, gzip, zstd) and zip, no other formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace::hub {

inline constexpr std::string_view kArchiveEndings[] = {".tar", ".tar.gz", ".tgz", ".tar.zst",
                                                       ".zip"};

/// Whether a file's name is an archive's.
bool is_archive(std::string_view name);

struct ArchiveEntry {
  std::string path;              ///< checked_path
  std::optional<uint64_t> size;  ///< some archives tell only in the end
};

/// Gives what an entry holds, piece by piece.
using ReadEntry = std::function<void(const std::function<void(std::span<const std::byte>)>&)>;

/// Calls `visit` for each file of an archive; its second argument reads the file's bytes. Folders
/// are passed over. Throws Error that names the archive for a damaged one, for an encrypted entry,
/// and for an entry that is neither file nor folder or whose path checked_path refuses.
void for_each_entry(const std::filesystem::path& archive,
                    const std::function<void(const ArchiveEntry&, const ReadEntry&)>& visit);

}  // namespace millrace::hub
