// SHA-256, the name of contents; and Git's name of a file, which hubs give for small ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace millrace::hub {

/// A digest that is fed piece by piece.
class Digest {
 public:
  enum class Kind { sha256, sha1 };

  explicit Digest(Kind kind = Kind::sha256);
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  /// In small hexadecimal letters. To be called once.
  std::string hex();

 private:
  std::shared_ptr<void> context_;
};

/// Of a text.
std::string sha256_of(std::string_view text);

struct FileDigests {
  std::string sha256;
  std::string git;  ///< the name that Git gives a file of these contents (a blob's SHA-1)
};

/// Of a file's contents. `stop` is asked now and then; once it says true, an Error is thrown.
FileDigests digests_of(const std::filesystem::path& path,
                       const std::function<bool()>& stop = nullptr);

}  // namespace millrace::hub
