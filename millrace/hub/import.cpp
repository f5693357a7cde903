#include "millrace/hub/import.h"

#include <algorithm>
#include <map>
#include <set>

#include "millrace/base/file.h"
#include "millrace/hub/archive.h"
#include "millrace/hub/blob_writer.h"
#include "millrace/hub/safe_path.h"

namespace millrace::hub {
namespace {

namespace fs = std::filesystem;

/// Counts what is done; stops when asked to.
class Work {
 public:
  Work(const ImportOptions& options, uint64_t total) : options_(options), total_(total) {}

  void add(uint64_t bytes) {
    done_ += bytes;
    if (options_.stop && options_.stop()) throw Stopped();
    if (options_.on_progress) options_.on_progress(done_, total_);
  }
  uint64_t done() const { return done_; }

 private:
  const ImportOptions& options_;
  uint64_t done_ = 0, total_;
};

StoredFile copy(const Store& store, const fs::path& file, const std::string& path, Work& work) {
  constexpr size_t kStep = size_t{8} << 20;
  const MappedFile source(file);
  BlobWriter blob(store);
  for (std::span<const std::byte> rest = source.bytes(); !rest.empty();) {
    const auto step = rest.first(std::min(kStep, rest.size()));
    blob.write(step);
    source.drop(step);
    work.add(step.size());
    rest = rest.subspan(step.size());
  }
  return blob.commit(path);
}

/// The regular files of a folder. Links within it are followed, as they lead to what it has.
std::vector<RemoteFile> files_in(const fs::path& folder) {
  const std::string root = fs::canonical(folder).string() + "/";
  std::vector<RemoteFile> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const std::string path = entry.path().lexically_relative(folder).string();
    if (entry.is_symlink()) {
      std::error_code broken;
      require((fs::canonical(entry.path(), broken).string() + "/").starts_with(root) && !broken,
              "{}: is a link out of the folder; copy it with `cp -rL` first",
              entry.path().string());
    }
    if (!entry.is_regular_file() || path.starts_with(".git/") || name.starts_with(".millrace")) {
      continue;
    }
    RemoteFile file;
    file.path = checked_path(path, folder.string());
    file.size = entry.file_size();
    files.push_back(std::move(file));
  }
  std::ranges::sort(files, {}, &RemoteFile::path);
  return files;
}

uint64_t size_of(const std::vector<RemoteFile>& files) {
  uint64_t sum = 0;
  for (const RemoteFile& file : files) sum += file.size.value_or(0);
  return sum;
}

/// "model/" where everything is in a folder of that name, else "".
std::string common_folder(const std::vector<RemoteFile>& files) {
  if (files.empty()) return "";
  const std::string& first = files.front().path;
  const std::string folder = first.substr(0, first.find('/') + 1);
  const bool common = std::ranges::all_of(
      files, [&](const RemoteFile& file) { return file.path.starts_with(folder); });
  return common ? folder : "";
}

}  // namespace

std::vector<StoredFile> import_folder(const Store& store, const fs::path& folder,
                                      const ImportOptions& options) {
  const std::vector<RemoteFile> files =
      select_files(files_in(folder), options.patterns, folder.string());
  Work work(options, size_of(files));
  std::vector<StoredFile> stored;
  for (const RemoteFile& file : files) {
    stored.push_back(copy(store, folder / file.path, file.path, work));
  }
  return stored;
}

StoredFile import_file(const Store& store, const fs::path& file, const std::string& name,
                       const ImportOptions& options) {
  Work work(options, fs::file_size(file));
  return copy(store, file, checked_path(name, file.string()), work);
}

std::vector<StoredFile> import_archive(const Store& store, const fs::path& archive,
                                       const ImportOptions& options) {
  const std::string source = archive.string();
  const uint64_t limit = options.max_unpacked > 0
                             ? options.max_unpacked
                             : 200 * fs::file_size(archive) + (uint64_t{1} << 30);
  std::vector<RemoteFile> files;
  for_each_entry(archive, [&](const ArchiveEntry& entry, const ReadEntry&) {
    files.push_back({entry.path, entry.size, "", "", ""});
    if (options.stop && options.stop()) throw Stopped();
  });
  const size_t skipped = common_folder(files).size();
  for (RemoteFile& file : files) file.path.erase(0, skipped);
  check_paths(files, source);
  files = select_files(files, options.patterns, source);
  std::set<std::string> wanted;
  for (const RemoteFile& file : files) wanted.insert(file.path);

  Work work(options, size_of(files));
  std::vector<StoredFile> stored;
  for_each_entry(archive, [&](const ArchiveEntry& entry, const ReadEntry& read) {
    if (entry.path.size() <= skipped || !wanted.contains(entry.path.substr(skipped))) return;
    BlobWriter blob(store);
    read([&](std::span<const std::byte> bytes) {
      work.add(bytes.size());
      require(work.done() <= limit, "{}: unpacks to more than {} bytes, which no model does",
              source, limit);
      blob.write(bytes);
    });
    stored.push_back(blob.commit(entry.path.substr(skipped)));
  });
  return stored;
}

}  // namespace millrace::hub
