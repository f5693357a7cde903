// A download that can be broken off at any time: the bytes that came, and a journal of where they
// lie, from which the next process goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "millrace/hub/file_lock.h"

namespace millrace::hub {

/// NAME.partial, which one process at a time has, and beside it NAME.parts, the journal. That one
/// is written after the bytes of which it tells are on the disk, so it can be believed after a
/// power cut. Parts may be written by several threads, each by one at a time.
class PartialFile {
 public:
  struct Part {
    uint64_t begin = 0, end = 0;  ///< bytes of the file
    uint64_t done = 0;            ///< how many of them are there
    bool complete() const { return begin + done == end; }
  };

  /// Null while another process, or another download of this one, has it.
  static std::unique_ptr<PartialFile> open(const std::filesystem::path& path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  /// Reserves room for `size` bytes and takes the journal up where it is of the same contents, by
  /// their `identity`; else begins anew, in parts of `part_bytes`. Throws Error for a full disk.
  void start(uint64_t size, const std::string& identity, uint64_t part_bytes);
  /// Whether bytes of an earlier process were taken up.
  bool resumed() const { return resumed_; }
  void start_anew();

  /// As they are now.
  std::vector<Part> parts() const;
  Part part(size_t i) const;
  uint64_t done() const;

  /// Adds bytes to a part, which must not become longer than it is.
  void write(size_t part, std::span<const std::byte> bytes);
  /// Forgets what a part has.
  void restart(size_t part);
  /// Syncs the bytes and writes the journal.
  void checkpoint();

  /// Gives the bytes their lasting name, read-only. A file of that name stays as it is.
  void commit(const std::filesystem::path& path);
  /// Removes it.
  void discard();

  const std::filesystem::path& path() const { return path_; }

 private:
  PartialFile(Descriptor file, std::filesystem::path path)
      : file_(std::move(file)), path_(std::move(path)) {}
  std::filesystem::path journal() const;
  bool take_up_journal();

  Descriptor file_;
  std::filesystem::path path_;
  std::string identity_;
  uint64_t size_ = 0, part_bytes_ = 0;
  std::vector<Part> parts_;
  std::vector<uint64_t> unsynced_;  // bytes of each part since its last checkpoint
  bool resumed_ = false;
  bool live_ = true;  // false: committed or discarded
  mutable std::mutex parts_mutex_;
  std::mutex journal_mutex_;
};

}  // namespace millrace::hub
