// A file that one process at a time may hold.
#pragma once

#include <filesystem>
#include <optional>

namespace millrace::hub {

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Opens a file for reading and writing, making it where it is not there, and waits until nobody
/// else holds it. A symbolic link is not followed. Throws Error that names it.
Descriptor lock_file(const std::filesystem::path& path);

/// The same without waiting: none while somebody else holds it, or when it has just been renamed or
/// removed.
std::optional<Descriptor> try_lock_file(const std::filesystem::path& path);

}  // namespace millrace::hub
