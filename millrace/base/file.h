// Files: read whole, mapped, or written so that a reader never sees half of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

/// A whole file mapped read-only into memory. Moves, does not copy.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws Error when the file cannot be opened or mapped.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Tells the kernel that the pages of this part will not be read again soon, so that they no
  /// longer count as resident. The bytes stay readable.
  void drop(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Reads a whole file. Throws Error when it cannot be read or is larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 32);

/// How long a committed file stays whole whatever happens: through a power cut, for which it is
/// synced, or only until the system stops.
enum class Durability { power_cut, until_next_boot };

/// A file that is written piece by piece and appears whole or not at all: the pieces go into a
/// temporary file beside it, which commit() syncs and renames over it. Without a commit nothing
/// stays. Every failure is an Error that names the path and the system's reason.
class FileWriter {
 public:
  explicit FileWriter(const std::filesystem::path& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Bytes written so far.
  uint64_t position() const { return position_; }
  void commit(Durability durability = Durability::power_cut);

 private:
  std::filesystem::path path_, temporary_;
  int fd_;
  uint64_t position_ = 0;
};

/// Writes a file that appears whole or not at all, as FileWriter does.
void write_file(const std::filesystem::path& path, std::string_view contents);

/// Creates a folder and its parents. Throws Error when it cannot.
void make_folder(const std::filesystem::path& path);

/// Fills a folder that appears whole or not at all: `fill` writes into the folder .NAME.tmp beside
/// it, which is synced and renamed. One that is there already is replaced. The files that `fill`
/// writes must be synced by themselves, as FileWriter's are. Throws Error that names the folder, or
/// what `fill` throws, and leaves nothing behind then.
void write_folder(const std::filesystem::path& path,
                  const std::function<void(const std::filesystem::path& folder)>& fill);

/// Flushes a folder's entries to disk, so that renames within it survive a power cut.
void sync_folder(const std::filesystem::path& path);

}  // namespace millrace
