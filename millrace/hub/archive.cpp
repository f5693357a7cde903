#include "millrace/hub/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/hub/safe_path.h"

namespace millrace::hub {
namespace {

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;

[[noreturn]] void fail_damaged(archive* reader, const std::string& source) {
  const char* why = archive_error_string(reader);
  fail("{}: cannot be unpacked: {}", source, quote(why == nullptr ? "it is damaged" : why));
}

/// While one lives, libarchive takes names on this thread for UTF-8, whatever the process' locale.
class Utf8Names {
 public:
  Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = ::uselocale(locale_);
  }
  ~Utf8Names() {
    if (locale_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_, before_ = nullptr;
};

Reader open_archive(const std::string& source) {
  constexpr size_t kBlock = size_t{1} << 20;
  Reader reader(archive_read_new(), archive_read_free);
  require(reader != nullptr, "{}: libarchive cannot be started", source);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  // By its directory, at the end: one without (cut off) is refused.
  archive_read_support_format_zip_seekable(reader.get());
  if (archive_read_open_filename(reader.get(), source.c_str(), kBlock) != ARCHIVE_OK) {
    fail_damaged(reader.get(), source);
  }
  return reader;
}

/// A tar file ends with two blocks of zeros. Without compression, nothing else would show that it
/// was cut off between two of its files.
void check_end_of_tar(const std::filesystem::path& path) {
  constexpr size_t kEnd = 1024;
  const MappedFile file(path);
  const auto bytes = file.bytes();
  require(bytes.size() >= kEnd &&
              std::ranges::all_of(bytes.last(kEnd), [](std::byte b) { return b == std::byte{}; }),
          "{}: ends before its end; it was not copied whole", path.string());
}

/// "./a/b" as tar writes it, and the slash at a folder's end.
std::string_view plain(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

void read_bytes(archive* reader, const std::string& source,
                const std::function<void(std::span<const std::byte>)>& take) {
  for (;;) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(reader, &data, &size, &offset);
    if (status == ARCHIVE_EOF) return;
    if (status != ARCHIVE_OK) fail_damaged(reader, source);
    take({static_cast<const std::byte*>(data), size});
  }
}

}  // namespace

bool is_archive(std::string_view name) {
  return std::ranges::any_of(kArchiveEndings,
                             [&](std::string_view ending) { return name.ends_with(ending); });
}

void for_each_entry(const std::filesystem::path& path,
                    const std::function<void(const ArchiveEntry&, const ReadEntry&)>& visit) {
  constexpr int kMaxEntries = 100'000;
  const std::string source = path.string();
  if (source.ends_with(".tar")) check_end_of_tar(path);
  const Utf8Names utf8;
  const Reader reader = open_archive(source);
  for (int entries = 0;; ++entries) {
    require(entries < kMaxEntries, "{}: has more than {} entries", source, kMaxEntries);
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) return;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_damaged(reader.get(), source);
    const char* name = archive_entry_pathname(entry);
    const std::string_view inner = plain(name == nullptr ? "" : name);
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) continue;
    const bool is_file = type == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
    require(is_file, "{}: {} is a link or a device; only files and folders can be unpacked", source,
            quote(inner));
    require(archive_entry_is_data_encrypted(entry) == 0, "{}: {} is encrypted", source,
            quote(inner));
    // A hole would be bytes that are not in the archive.
    require(archive_entry_sparse_count(entry) == 0, "{}: {} is a sparse file", source,
            quote(inner));
    ArchiveEntry found{checked_path(inner, source), std::nullopt};
    if (archive_entry_size_is_set(entry) != 0) {
      found.size = static_cast<uint64_t>(std::max<la_int64_t>(archive_entry_size(entry), 0));
    }
    visit(found, [&](const std::function<void(std::span<const std::byte>)>& take) {
      uint64_t bytes = 0;
      read_bytes(reader.get(), source, [&](std::span<const std::byte> piece) {
        bytes += piece.size();
        take(piece);
      });
      require(!found.size || bytes == *found.size, "{}: {} ends after {} of {} bytes", source,
              quote(inner), bytes, found.size.value_or(0));
    });
  }
}

}  // namespace millrace::hub
